"""The published forward passes written once more, straight on published names: a slow oracle for the loaders.

Also writers of small experiment folders with random weights of any widths.
"""

import pickle
from argparse import Namespace
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

ARGS = {
    "audio_model": "ResDavenetVQ",
    "image_model": "Resnet50",
    "layer_widths": "6,8,8,12,20",
    "layer_depths": "1,2,1,3",
    "convsize": 5,
    "VQ_turnon": "0,0,0,0,0",
    "VQ_sizes": "16,16,16,16,16",
    "jitter": 0.12,
}


def norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    names = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(state[f"{name}.{part}"] for part in names))


def resdavenet(mel: Tensor, state: Mapping[str, Tensor], depths: list[int], kernel: int) -> Tensor:
    """wnhsu/ResDAVEnet-VQ's forward pass without quantisers, on 2-D convolutions: (B, 40, T) to (B, C, 1, T/16)."""
    x = F.relu(norm(F.conv2d(mel.unsqueeze(1), state["conv1.weight"]), state, "bn1"))
    pad = (0, kernel // 2)
    for layer, depth in enumerate(depths, start=1):
        for block in range(depth):
            at, stride = f"layer{layer}.{block}.", 2 if block == 0 else 1
            y = F.conv2d(x, state[at + "conv1.weight"], stride=stride, padding=pad)
            y = F.conv2d(F.relu(norm(y, state, at + "bn1")), state[at + "conv2.weight"], padding=pad)
            y = norm(y, state, at + "bn2")
            if block == 0:
                x = norm(F.conv2d(x, state[at + "downsample.0.weight"], stride=stride), state, at + "downsample.1")
            x = F.relu(y + x)
    return x


def davenet_speech(mel: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """surisdi/learning-by-drawing's numbered layers: (B, 1, 40, T) to (B, D, 1, T')."""
    x = norm(mel, state, "0")
    x = F.relu(F.conv2d(x, state["1.weight"], state["1.bias"]))
    numbers = sorted(int(name.split(".")[0]) for name in state if name.endswith(".weight"))[2:]
    for number in numbers:
        weight = state[f"{number}.weight"]
        x = F.relu(F.conv2d(x, weight, state[f"{number}.bias"], padding=(0, weight.shape[-1] // 2)))
        if number != numbers[-1]:
            x = F.max_pool2d(x, (1, 3), stride=(1, 2), padding=(0, 1))
    return x


def random_norm(state: dict[str, Tensor], name: str, channels: int) -> None:
    state[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels)
    state[f"{name}.bias"] = 0.1 * torch.randn(channels)
    state[f"{name}.running_mean"] = 0.1 * torch.randn(channels)
    state[f"{name}.running_var"] = 0.5 + torch.rand(channels)
    state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def random_kernel(*shape: int) -> Tensor:
    return torch.randn(shape) / (shape[1] * shape[2] * shape[3]) ** 0.5


def resdavenet_state(widths: list[int], depths: list[int], kernel: int) -> dict[str, Tensor]:
    """Random weights by published name, the unused ``batchnorm1`` included."""
    state: dict[str, Tensor] = {"conv1.weight": random_kernel(widths[0], 1, 40, 1)}
    random_norm(state, "batchnorm1", 1)
    random_norm(state, "bn1", widths[0])
    for layer, depth in enumerate(depths, start=1):
        width_in = widths[layer - 1]
        for block in range(depth):
            at, width = f"layer{layer}.{block}.", widths[layer]
            state[at + "conv1.weight"] = random_kernel(width, width_in if block == 0 else width, 1, kernel)
            state[at + "conv2.weight"] = random_kernel(width, width, 1, kernel)
            random_norm(state, at + "bn1", width)
            random_norm(state, at + "bn2", width)
            if block == 0:
                state[at + "downsample.0.weight"] = random_kernel(width, width_in, 1, 1)
                random_norm(state, at + "downsample.1", width)
    return state


def resdavenet_folder(
    folder,
    image_state: Mapping[str, Tensor],
    stem: str = "best_{}_model",
    speech: Mapping[str, Tensor] = MappingProxyType({}),
    **changed,
) -> dict:
    """Write an experiment folder with ``speech`` beside its random weights; return those by published name."""
    args = {**ARGS, **changed}
    (folder / "models").mkdir(exist_ok=True)
    (folder / "args.pkl").write_bytes(pickle.dumps(Namespace(**args)))
    widths, depths = ([int(n) for n in args[name].split(",")] for name in ("layer_widths", "layer_depths"))
    state = resdavenet_state(widths, depths, args["convsize"]) | dict(speech)
    for kind, weights in (("audio", state), ("image", image_state)):
        prefixed = {f"module.{name}": value for name, value in weights.items()}
        legacy = kind == "audio"
        torch.save(prefixed, folder / "models" / f"{stem.format(kind)}.pth", _use_new_zipfile_serialization=not legacy)
    return state
