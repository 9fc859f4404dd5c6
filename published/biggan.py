"""BigGAN of ajbrock/BigGAN-PyTorch and schwettmann/pretorched-x: generators and discriminators.

* ``G_ema.pth`` and ``G.pth`` of trainings, published as ``biggan256_G_ema_ch128_places365-*.pth`` and the like, with
  the ``state_dict`` file beside them, whose ``config`` holds what weights do not say (two epsilons);
* the same weights converted from TensorFlow Hub (``tfbiggan_256-*.pth``), which lack ``sv0``;
* the converter's intermediate form (``GBlock.0.conv0.module.weight_bar``, ..., ``TFHub/biggan_v1.py``);
* ``D.pth``.

Widths, depths and the resolutions of attention are read off the weights. Entries may differ from those of the networks
by ``sv0`` alone (largest singular values, kept for logs only), which files from TensorFlow Hub lack, and by counters of
batches.
"""

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from common.guarded_pickles import read_without_classes
from common.safe_load import TorchFileError, check_size
from gan.biggan.discriminator import BigganDiscriminator
from gan.biggan.generator import BigganGenerator
from models.weights import WeightsError, load_strictly, read_state_dict, sized, strip_prefix
from published.key_map import laid_out, rename

log = logging.getLogger(__name__)
_Network = TypeVar("_Network", BigganGenerator, BigganDiscriminator)
Rules = list[tuple[str, str]]
TRAINED_EPS = {"BN_eps": 1e-5, "SN_eps": 1e-6}  # of the published trainings
TF_HUB_EPS = {"BN_eps": 1e-4, "SN_eps": 1e-4}  # of the converter's get_config
FIXED = {"G_param": "SN", "D_param": "SN", "G_shared": True, "num_G_SVs": 1, "num_G_SV_itrs": 1, "num_D_SVs": 1,
         "num_D_SV_itrs": 1, "G_kernel_size": 3, "D_kernel_size": 3, "bottom_width": 4}  # fmt: skip
PARTS = {"weight": "weight", "bias": "bias", "u0": "u", "sv0": "sigma"}
STATISTICS = {"stored_mean": "running_mean", "stored_var": "running_var"}
HEADS = {"theta": "query", "phi": "key", "g": "value", "o": "output"}
CONVOLUTIONS = {"conv1": "conv1", "conv2": "conv2", "conv_sc": "shortcut"}
TF_HUB_ATTENTION = {5: 3, 6: 4, 7: 3}  # blocks: the one with attention
SYNCHRONISED = r"(.+)\.bn\.(running_mean|running_var|stored_mean|stored_var)"
COUNTERS = (r".+\.accumulation_counter", r".+\.num_batches_tracked")


def _weight_rules(theirs: str, ours: str) -> Rules:
    """Return the rules of a layer with spectral norm; N in ``ours`` is a block's number, which ``theirs`` captures."""
    return [(rf"{theirs}\.{part}", rf"{ours}.{own}") for part, own in PARTS.items()]


def _block_rules(theirs: str, ours: str) -> Rules:
    """Return the rules that the blocks of both networks share."""
    rules = [
        rule for name, own in CONVOLUTIONS.items() for rule in _weight_rules(rf"{theirs}\.0\.{name}", f"{ours}.{own}")
    ]
    rules += [
        rule
        for name, own in HEADS.items()
        for rule in _weight_rules(rf"{theirs}\.1\.{name}", f"{ours}.attention.{own}")
    ]
    return [*rules, (rf"{theirs}\.1\.gamma", rf"{ours}.attention.gamma")]


def _generator_rules(blocks: int) -> Rules:
    rules = [(r"shared\.weight", "classes.weight"), *_weight_rules("linear", "layer0.linear")]
    for block in range(blocks):
        theirs, ours = rf"blocks\.{block}", f"layer{block + 1}"
        rules += _block_rules(theirs, ours)
        for norm in (1, 2):
            for linear in ("gain", "bias"):
                rules += _weight_rules(rf"{theirs}\.0\.bn{norm}\.{linear}", f"{ours}.norm{norm}.{linear}")
            rules += [
                (rf"{theirs}\.0\.bn{norm}\.{name}", f"{ours}.norm{norm}.norm.{own}") for name, own in STATISTICS.items()
            ]
    output = {"gain": "weight", "bias": "bias", **STATISTICS}
    rules += [(rf"output_layer\.0\.{name}", f"output.norm.{own}") for name, own in output.items()]
    return rules + _weight_rules(r"output_layer\.2", "output.conv")


DISCRIMINATOR_RULES: Rules = [
    *_block_rules(r"blocks\.(\d+)", r"blocks.\1"),
    *_weight_rules("linear", "logit"),
    *_weight_rules("embed", "classes"),
]


def load_generator(path: Path) -> BigganGenerator:
    """Load a generator, in evaluation mode on the CPU, with its epsilons from the ``state_dict`` file beside it.

    Where there is no such file they are those of the published trainings, or of TensorFlow Hub where the weights are
    from there. Raises WeightsError where a file is missing, damaged, of another kind, does not fit, or of a variant
    that is not carried.
    """
    state = strip_prefix(read_state_dict(path))
    with laid_out(path):
        state = from_tf_hub(state, str(path)) if "G_linear.module.weight_bar" in state else _plain(state)
    from_hub = not any(name.endswith(".sv0") for name in state)
    config = _config(path, TF_HUB_EPS if from_hub else TRAINED_EPS)
    blocks = _count(state, r"blocks\.(\d+)\..+")
    own = rename(state, _generator_rules(blocks), str(path))
    first, shared = sized(own, "layer0.linear.weight", path), sized(own, "classes.weight", path)
    widths = [len(first) // 16, *(len(sized(own, f"layer{n}.conv1.weight", path)) for n in range(1, blocks + 1))]
    hierarchical = sized(own, "layer1.norm1.gain.weight", path).shape[1] > shared.shape[1]
    attention = [4 * 2**n for n in range(1, blocks + 1) if f"layer{n}.attention.gamma" in own]
    return _filled(
        lambda: BigganGenerator(
            widths=widths,
            latent_dim=first.shape[1] * (blocks + 1 if hierarchical else 1),
            num_classes=len(shared),
            class_dim=shared.shape[1],
            attention=attention,
            hierarchical=hierarchical,
            norm_eps=config["BN_eps"],
            spectral_eps=config["SN_eps"],
        ),
        own,
        path,
    )


def load_discriminator(path: Path) -> BigganDiscriminator:
    """Load a discriminator, in evaluation mode on the CPU; its config as of :func:`load_generator`.

    The resolution, where no ``state_dict`` file says it, is that of the published table with as many blocks. Raises
    WeightsError as that function.
    """
    state = strip_prefix(read_state_dict(path))
    config = _config(path, TRAINED_EPS)
    own = rename(state, DISCRIMINATOR_RULES, str(path))
    blocks = _count(own, r"blocks\.(\d+)\..+")
    kernels = [sized(own, f"blocks.{n}.conv1.weight", path) for n in range(blocks)]
    outer = [len(sized(own, f"blocks.{n}.conv2.weight", path)) for n in range(blocks)]
    small = blocks == 4  # the table's 32 pixels: two blocks keep the resolution
    resolution = config.get("resolution", 32 if small else 4 * 2 ** (blocks - 1))
    halvings = 2 if small else blocks - 1
    attention = [resolution // 2 ** min(n + 1, halvings) for n in range(blocks) if f"blocks.{n}.attention.gamma" in own]
    return _filled(
        lambda: BigganDiscriminator(
            resolution=resolution,
            widths=outer,
            num_classes=len(sized(own, "classes.weight", path)),
            attention=attention,
            downsamples=halvings,
            wide=all(len(kernel) == width for kernel, width in zip(kernels, outer, strict=True)),
            spectral_eps=config["SN_eps"],
        ),
        own,
        path,
    )


def _filled(make: Callable[[], _Network], own: Mapping[str, Tensor], path: Path) -> _Network:
    """Build the network without weights, whose orthogonal start takes long, and give it those of the file.

    ``sigma``, for logs only, may be absent, and ``num_batches_tracked`` always is.
    """
    with laid_out(path), torch.device("meta"):
        network = make()
    state = {}
    for name, value in network.state_dict().items():
        if name in own:
            whole = own[name] if own[name].is_complex() else own[name].to(value.dtype)  # complex ones are refused below
            state[name] = whole.contiguous()
        elif name.endswith((".sigma", ".num_batches_tracked")):
            state[name] = torch.ones(value.shape, dtype=value.dtype)
    load_strictly(network, state | {name: own[name] for name in own if name not in state}, str(path), assign=True)
    return network.eval()


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring the batch norms of other training settings (synchronised, or with standing statistics) to the usual names.

    A positive ``accumulation_counter`` says that the statistics beside it are sums over so many batches.
    """
    plain: dict[str, Tensor] = {}
    for name, value in state.items():
        match = re.fullmatch(SYNCHRONISED, name)
        if any(re.fullmatch(pattern, name) for pattern in COUNTERS):
            continue
        if match is None:
            plain[name] = value
            continue
        counter = state.get(f"{match[1]}.bn.accumulation_counter")
        summed = counter is not None and counter.numel() == 1 and counter.item() > 0
        plain[f"{match[1]}.{match[2].replace('running', 'stored')}"] = value / counter if summed else value
    return plain


def from_tf_hub(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Turn the converter's intermediate form into ajbrock's names and layouts.

    There a condition is the latent's slot before the class, the first maps have their channels last, and classes are
    columns. ``weight_v`` (the other singular vectors) is left out, as the converter does. Raises WeightsError where an
    entry has no counterpart.
    """
    first = state["G_linear.module.weight_bar"]
    slot = first.shape[-1] if first.dim() == 2 else 0
    channels = len(first) // 16
    attention = _tf_hub_attention(state, source)
    parts = {"weight_u": "u0", "weight_bar": "weight", "bias": "bias"}
    layers = {"G_linear.module": "linear", "colorize.module": "output_layer.2"}
    layers |= {f"attention.{theirs}.module": f"blocks.{attention}.1.{ours}"
               for theirs, ours in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o_conv", "o"))}  # fmt: skip
    rules: Rules = [
        (rf"{re.escape(theirs)}\.{part}", rf"{ours}.{own}")
        for theirs, ours in layers.items()
        for part, own in parts.items()
    ]
    for theirs, ours in (("conv0", "conv1"), ("conv1", "conv2"), ("conv_sc", "conv_sc")):
        rules += [
            (rf"GBlock\.(\d+)\.{theirs}\.module\.{part}", rf"blocks.\1.0.{ours}.{own}") for part, own in parts.items()
        ]
    for theirs, ours in (("HyperBN", "bn1"), ("HyperBN_1", "bn2")):
        norm = rf"GBlock\.(\d+)\.{theirs}"
        for embed, linear in (("gamma", "gain"), ("beta", "bias")):
            rules += [
                (rf"{norm}\.{embed}_embed\.module\.{part}", rf"blocks.\1.0.{ours}.{linear}.{own}")
                for part, own in parts.items()
            ]
        rules += [(rf"{norm}\.bn\.running_{what}", rf"blocks.\1.0.{ours}.stored_{what}") for what in ("mean", "var")]
    output = {"weight": "gain", "bias": "bias", "running_mean": "stored_mean", "running_var": "stored_var"}
    rules += [(rf"ScaledCrossReplicaBN\.{part}", f"output_layer.0.{own}") for part, own in output.items()]
    rules += [(r"attention\.gamma", f"blocks.{attention}.1.gamma"), (r"linear\.weight", "shared.weight")]
    kept = {name: value for name, value in state.items() if not name.endswith((".weight_v", ".num_batches_tracked"))}
    return {name: _relaid(name, value, slot, channels) for name, value in rename(kept, rules, source).items()}


def _relaid(name: str, value: Tensor, slot: int, channels: int) -> Tensor:
    """Return an entry, by ajbrock's name, in ajbrock's layout."""
    if name.startswith("linear."):
        value = value.reshape(4, 4, channels, -1).permute(2, 0, 1, 3).flatten(0, 2)
        return value.reshape(1, -1) if name == "linear.u0" else value.squeeze(1) if name == "linear.bias" else value
    if re.fullmatch(r"blocks\.\d+\.0\.bn\d\.(gain|bias)\.weight", name):
        return torch.cat((value[:, slot:], value[:, :slot]), dim=1)
    if name.endswith(".u0"):
        return value.reshape(1, -1)
    if name.endswith(".gamma"):
        return value.reshape(())
    return value.T if name == "shared.weight" else value


def _tf_hub_attention(state: Mapping[str, Tensor], source: str) -> int:
    """Return the block that attention ends, which in this form stands alone."""
    blocks = _count(state, r"GBlock\.(\d+)\..+")
    if blocks not in TF_HUB_ATTENTION:
        raise WeightsError(f"{source} has {blocks} blocks, expected 5, 6 or 7 of 128, 256 or 512 pixels.")
    return TF_HUB_ATTENTION[blocks]


def _config(path: Path, default: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``default`` updated by the ``config`` of the ``state_dict`` file beside the weights, if there is one."""
    name = re.sub(r"-[0-9a-f]{8}(?=\.pth$)", "-*", path.name)
    pattern = re.sub(r"(?<![A-Za-z])(?:G_ema|G|D)(?![A-Za-z])", "state_dict", name, count=1)
    files = sorted(file for file in path.parent.glob(pattern) if file != path) if pattern != name else []
    if not files:
        log.info("beside %s there is no state_dict file: epsilons are %s", path, default)
        return dict(default)
    try:
        check_size(files[0])
    except TorchFileError as error:
        raise WeightsError(str(error)) from error
    content = read_without_classes(files[0])  # it holds an activation and best scores beside plain values
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        raise WeightsError(f"{files[0]} has no config: move it away, or copy the file of the same training here.")
    for key, carried in FIXED.items():
        if key in config and config[key] != carried:
            raise WeightsError(f"{files[0]} has {key} {config[key]!r}, of which only {carried!r} is carried here.")
    if config.get("norm_style", "bn") != "bn":
        raise WeightsError(f"{files[0]} has norm_style {config['norm_style']!r}, of which only 'bn' is carried here.")
    for key in ("BN_eps", "SN_eps"):
        value = config.get(key, default.get(key))
        if not isinstance(value, float | int) or not 0 < value <= 1:
            raise WeightsError(f"{files[0]} has {key} {value!r}, expected a number above 0, at most 1.")
    return {**default, **{key: config[key] for key in ("BN_eps", "SN_eps", "resolution") if key in config}}


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many different numbers there are in the names."""
    return len({match[1] for name in state if (match := re.fullmatch(pattern, name))})
