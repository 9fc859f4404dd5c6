"""Experiment folders of wnhsu/ResDAVEnet-VQ: ResDAVEnet speech and ResNet-50 images.

A folder holds ``args.pkl`` (a pickled ``argparse.Namespace``; widths, depths and flags are comma-separated strings) and
``models/{best_audio_model,best_image_model}.pth`` or ``models/{audio_model,image_model}.eN.pth``, plain state dicts
whose names start with ``module.``. ``batchnorm1.*`` of the speech model is stored but never used, and is dropped.
"""

import logging
import pickle
import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.safe_load import read_namespace
from models.image_encoders import Resnet50Encoder
from models.resdavenet import STAGES, ResDavenet
from models.resdavenet_vq import ResDavenetVq
from models.vector_quantizer import CodebookConfig
from models.weights import WeightsError, load_strictly, read_state_dict, sized, strip_prefix
from published.encoders import PublishedSpeechImage
from published.key_map import convolutions_1d, convolutions_2d, inverse, rename
from published.resdavenet_vq.options import OPTIONS
from published.writing import expect_network, write_torch_files

logger = logging.getLogger(__name__)

UNUSED = "batchnorm1."  # a layer the published forward pass never calls
BLOCK = r"layer([1-4])\.(\d+)\."
SPEECH_RULES = [
    (r"conv1\.weight", r"stages.0.0.weight"),
    (r"bn1\.(\w+)", r"stages.0.1.\1"),
    (BLOCK + r"conv([12])\.weight", r"stages.\1.\2.conv\3.weight"),
    (BLOCK + r"bn([12])\.(\w+)", r"stages.\1.\2.norm\3.\4"),
    (BLOCK + r"downsample\.([01])\.(\w+)", r"stages.\1.\2.shortcut.\3.\4"),
    (r"quant([1-5])\._embedding\.weight", r"quantizers.quant\1.codebook"),
    (r"quant([1-5])\._ema_w", r"quantizers.quant\1.sums"),
    (r"quant([1-5])\._ema_cluster_size", r"quantizers.quant\1.counts"),
]
IMAGE_RULES = [
    (r"embedder\.(weight|bias)", r"embedder.\1"),
    (r"((?:conv1|bn1|layer[1-4])\..+)", r"trunk.\1"),
]
CODEBOOK = {
    "commitment_cost": "VQ_commitment_cost",
    "init_std": "init_std",
    "nonneg_init": "nonneg_init",
    "init_ema_mass": "init_ema_mass",
}
MOST_WIDTH, MOST_BLOCKS = 2**16, 256  # of a layer or codebook; the published ones have at most 1024 and 2
NEEDED = ("audio_model", "layer_widths", "layer_depths", "convsize", "VQ_turnon")


def _integers(args: Namespace, name: str, count: int, source: Path) -> tuple[int, ...]:
    text = getattr(args, name)
    try:
        values = tuple(int(part) for part in str(text).split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise WeightsError(
            f"{source}: {name} is {text!r}, expected {count} integers{' with commas' if count > 1 else ''}."
        )
    most = MOST_BLOCKS if name == "layer_depths" else MOST_WIDTH
    if not all(0 <= value <= most for value in values):
        raise WeightsError(f"{source}: {name} is {text!r}, expected integers from 0 to {most}.")
    return values


def _files(path: Path) -> tuple[Path, Path, Path]:
    """Return the speech file, the image file of the same epoch and ``args.pkl`` of a folder or speech file."""
    if path.is_dir():
        speech = path / "models" / "best_audio_model.pth"
        if not speech.is_file():
            speech = _last_epoch(path)
    else:
        speech = path
    if not speech.exists():
        raise WeightsError(f"{speech} does not exist: give the experiment folder or its audio_model file.")
    if "audio_model" not in speech.name:
        raise WeightsError(
            f"{speech} is not named like a speech model: give the experiment folder or its audio_model file."
        )
    return (
        speech,
        speech.with_name(speech.name.replace("audio_model", "image_model")),
        speech.parent.parent / "args.pkl",
    )


def _last_epoch(folder: Path) -> Path:
    epochs = {
        int(m[1]): f for f in folder.glob("models/audio_model.e*.pth") if (m := re.search(r"\.e(\d+)\.pth$", f.name))
    }
    if not epochs:
        raise WeightsError(
            f"The folder {folder} holds neither models/best_audio_model.pth nor models/audio_model.eN.pth: "
            "give an experiment folder of ResDAVEnet-VQ."
        )
    logger.warning("%s has no best_audio_model.pth; using epoch %d", folder, max(epochs))
    return epochs[max(epochs)]


def _speech_settings(args: Namespace, source: Path) -> dict[str, Any]:
    """Return the keywords of the speech encoder that ``args``, read from ``source``, describe."""
    enabled = _integers(args, "VQ_turnon", 5, source)
    (kernel,) = _integers(args, "convsize", 1, source)
    if any(enabled) and not hasattr(args, "VQ_sizes"):
        raise WeightsError(f"{source} lacks VQ_sizes though VQ_turnon is {args.VQ_turnon!r}: how many codes are there?")
    for name in ("jitter", *CODEBOOK.values()):
        value = getattr(args, name, 0)
        if not isinstance(value, int | float):
            raise WeightsError(f"{source}: {name} is {value!r}, expected a number.")
    return {
        "turn_on": "".join(map(str, enabled)),
        "codes": _integers(args, "VQ_sizes", 5, source) if any(enabled) else 1,
        "layer_widths": _integers(args, "layer_widths", 5, source),
        "layer_depths": _integers(args, "layer_depths", 4, source),
        "kernel": kernel,
        "jitter": float(getattr(args, "jitter", 0.0)),
        "codebook": {ours: getattr(args, theirs) for ours, theirs in CODEBOOK.items() if hasattr(args, theirs)},
    }


def _build_speech(args: Namespace, source: Path) -> ResDavenetVq:
    """Build the speech encoder that ``args``, read from ``source``, describe."""
    settings = _speech_settings(args, source)
    try:
        return ResDavenetVq(**settings | {"codebook": CodebookConfig(**settings["codebook"])})
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{source} describes an impossible network: {error}") from error


def describe(path: Path) -> dict[str, dict[str, Any]]:
    """Read which encoders an experiment has, as nodes ``image_encoder`` and ``speech_encoder`` of a config.

    ``path`` is as :func:`load` takes it; no weights are read. Raises WeightsError where ``args.pkl`` is missing or of
    another program.
    """
    speech_file, _, args_file = _files(path)
    args = _read_args(args_file)
    with torch.device("meta"):
        _build_speech(args, args_file)  # finds settings that no network has
    speech = _speech_settings(args, args_file)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in speech.items()}
    image = {"type": "models.image_encoders.Resnet50Encoder", "embedding_dim": speech["layer_widths"][-1]}
    logger.info("%s: the encoders are those of %s, turn-on %s", speech_file, args_file.name, speech["turn_on"])
    return {"image_encoder": image, "speech_encoder": {"type": "models.resdavenet_vq.ResDavenetVq", **plain}}


def _read_args(args_file: Path) -> Namespace:
    args = read_namespace(args_file)
    lacking = [name for name in NEEDED if not hasattr(args, name)]
    if lacking:
        raise WeightsError(
            f"{args_file} lacks {', '.join(lacking)}: it is not the args.pkl of a ResDAVEnet-VQ experiment."
        )
    names = (args.audio_model, getattr(args, "image_model", "Resnet50"))
    if names != ("ResDavenetVQ", "Resnet50"):
        raise WeightsError(f"{args_file} names {names[0]!r} and {names[1]!r}, expected ResDavenetVQ and Resnet50.")
    return args


def _speech_state(file: Path) -> dict[str, Tensor]:
    state = strip_prefix(read_state_dict(file))
    used = {name: value for name, value in state.items() if not name.startswith(UNUSED)}
    state = convolutions_1d(rename(used, SPEECH_RULES, str(file)))
    quantizers = {name.rsplit(".", 1)[0] for name in state if name.startswith("quantizers.")}
    return state | {f"{name}.placed": torch.tensor(True) for name in quantizers}


def load(path: Path) -> PublishedSpeechImage:
    """Load an experiment folder, or one ``audio_model`` file in it with the image model of the same epoch.

    Of a folder it is the best model, else the last epoch; ``details`` holds the training arguments. Raises WeightsError
    where a file is missing, damaged, of another kind, or does not fit.
    """
    speech_file, image_file, args_file = _files(path)
    args = _read_args(args_file)
    speech = _build_speech(args, args_file)
    load_strictly(speech, _speech_state(speech_file), f"{speech_file} (sizes from {args_file.name})")
    image_state = rename(strip_prefix(read_state_dict(image_file)), IMAGE_RULES, str(image_file))
    image = Resnet50Encoder(embedding_dim=len(sized(image_state, "embedder.weight", image_file)))
    load_strictly(image, image_state, str(image_file))
    return PublishedSpeechImage(image, speech, speech_file, {"args": vars(args)})


def save(image: nn.Module, speech: nn.Module, folder: Path, options: Mapping[str, Any] | None = None) -> None:
    """Write both encoders as an experiment folder that the public programs read: its best models, and ``args.pkl``.

    They evaluate it (``--mode eval --resume True --exp-dir``), analyse its units, train on from it (``--seed-dir``);
    what they need to resume a training of their own, the state of its optimiser, is not written. ``options`` are those
    of the training by their published names, the public defaults where None; those that the weights show (widths,
    depths, kernel, quantisers and their codes) are read off them. Raises WeightsError where an encoder is of another
    network, which the public code does not have, or codes were never placed.
    """
    expect_network(image, Resnet50Encoder, "the image encoder of ResDAVEnet-VQ")
    expect_network(speech, ResDavenet, "the speech encoder of ResDAVEnet-VQ")
    given = options if options is not None else {name: option.default for name, option in OPTIONS.items()}
    args = Namespace(**{**given, **_arguments_of(speech)})
    parts = {"audio": speech_entries(speech), "image": image_entries(image)}
    write_torch_files(
        {folder / "models" / f"best_{name}_model.pth": weights for name, weights in parts.items()},
        {folder / "args.pkl": pickle.dumps(args, protocol=2)},
    )


def speech_entries(speech: ResDavenet) -> dict[str, Tensor]:
    """Return the weights of ``speech`` by their published names, the batch norm that is never called included.

    Raises WeightsError where codes were never placed.
    """
    state = rename(_weights_of(speech), inverse(SPEECH_RULES), "the speech encoder")
    never_called = {UNUSED + name: value for name, value in nn.BatchNorm2d(1).state_dict().items()}
    return _prefixed(never_called | convolutions_2d(state, stem="conv1.weight"))


def image_entries(image: Resnet50Encoder) -> dict[str, Tensor]:
    """Return the weights of ``image`` by their published names."""
    return _prefixed(rename(image.state_dict(), inverse(IMAGE_RULES), "the image encoder"))


def _prefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the prefix of DataParallel, in which the public code trains."""
    return {f"module.{name}": value for name, value in state.items()}


def _weights_of(speech: ResDavenet) -> dict[str, Tensor]:
    """Return the weights that the public network has too."""
    state = speech.state_dict()
    unplaced = [name for name, value in state.items() if name.endswith(".placed") and not value]
    if unplaced:
        raise WeightsError(f"{unplaced[0]} is false: codes that k-means places were never placed; train it first.")
    return {name: value for name, value in state.items() if not name.endswith(".placed")}


def _arguments_of(speech: ResDavenet) -> dict[str, Any]:
    """Return the published arguments that the network itself shows."""
    stages = list(speech.stages)
    widths = [stages[0][0].out_channels, *(stage[0].conv1.out_channels for stage in stages[1:])]
    arguments = {
        "audio_model": "ResDavenetVQ",
        "image_model": "Resnet50",
        "layer_widths": _listed(widths),
        "layer_depths": _listed(len(stage) for stage in stages[1:]),
        "convsize": stages[1][0].conv1.kernel_size[0],
        "VQ_turnon": _listed([0] * STAGES),
        "VQ_sizes": OPTIONS["VQ_sizes"].default,
        "jitter": 0.0,
    }
    if not isinstance(speech, ResDavenetVq):
        return arguments
    sizes = {name: len(quantizer.codebook) for name, quantizer in speech.quantizers.items()}
    arguments |= {"VQ_turnon": _listed(speech.turn_on), "jitter": speech.jitter.probability}
    arguments["VQ_sizes"] = _listed(sizes.get(f"quant{position}", 1024) for position in range(1, STAGES + 1))
    for quantizer in speech.quantizers.values():
        arguments |= {theirs: getattr(quantizer.config, ours) for ours, theirs in CODEBOOK.items()}
    return arguments


def _listed(values: Iterable[Any]) -> str:
    """Write numbers with commas between, as the published arguments have them."""
    return ",".join(map(str, values))
