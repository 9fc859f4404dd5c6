"""Snapshots of smatsumori/LatteGAN: ``model_e<epoch>_i<iteration>.pth`` of a training's ``snapshots`` folder.

One dict of three state dicts, ``eval_image_encoder``, ``eval_generator`` and ``eval_discriminator``: moving averages of
all parameters and buffers. Widths, the fusion, its attention to words and relations, the norm and the discriminator's
kind are read off the weights. Not in them, and taken as published (``params/exp169.yaml``, ``exp170.yaml``): attention
has 8 heads and residuals are masked (``res_mask_post``).
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan.lattegan.discriminators import CoAttention, LatteganDiscriminator, SentenceMatch, UnetDiscriminator, WordMatch
from gan.lattegan.fusion import Concat, Tirg, TirgSpade
from gan.lattegan.generator import ImageEncoder, LatteganGenerator, MultiScaleGenerator, MultiScaleImageEncoder
from models.weights import WeightsError, as_state_dict, load_strictly, read_torch_file, strip_prefix
from published.key_map import Rule, rename

IMAGE, GENERATOR, DISCRIMINATOR = "eval_image_encoder", "eval_generator", "eval_discriminator"
FIRST_RESOLUTION = 4  # pixels of the first map, of images of 128
LEAVES = (  # the last parts of their names, and ours: plain, with spectral norm, of batch norm
    ("(weight|bias)", "{}"),
    ("(weight)_orig", "parametrizations.{}.original"),
    ("weight_([uv])", "parametrizations.weight.0._{}"),
    (r"(?:norm\.)?(running_mean|running_var|num_batches_tracked)", "{}"),
)
ATTENTION = {"fc_q": "query", "fc_k": "key", "fc_v": "value"}
UNET_UP = {"resup4": "up.0", "resup5": "up.1", "resup6": "up.2", "resup7": "up.3"}


class PublishedLattegan(NamedTuple):
    """The networks of a snapshot."""

    image_encoder: ImageEncoder | MultiScaleImageEncoder
    generator: LatteganGenerator | MultiScaleGenerator
    discriminator: LatteganDiscriminator | UnetDiscriminator


def _layer(theirs: str, ours: str) -> list[Rule]:
    """Return the rules of one layer's entries; groups of ``theirs`` may stand in ``ours``."""
    leaf = re.compile(theirs).groups + 1
    return [(rf"{theirs}\.{end}", f"{ours}." + own.format(rf"\{leaf}")) for end, own in LEAVES]


def _layers(theirs: str, ours: str, names: Mapping[str, str]) -> list[Rule]:
    """Return the rules of several layers of one part."""
    return [rule for name, own in names.items() for rule in _layer(theirs + name, ours + own)]


def _block(theirs: str, ours: str, conditional: bool = False) -> list[Rule]:
    """Return the rules of a residual block."""
    rules = _layers(rf"{theirs}\.", f"{ours}.", {"conv1": "conv1", "conv2": "conv2", "conv_bypass": "shortcut"})
    names = ("norm1", "norm2")
    if not conditional:
        return rules + _layers(rf"{theirs}\.", f"{ours}.", {name: name for name in names})
    inner = {rf"{name}\.{part}": f"{name}.{part}" for name in names for part in ("fc", "norm")}
    return rules + _layers(rf"{theirs}\.", f"{ours}.", inner)


def _fusion_rules() -> list[Rule]:
    theirs, ours = r"tirg(?:_spade)?\.", "fusion."
    rules = [(f"{theirs}w_gate", f"{ours}gate_weight"), (f"{theirs}w_res", f"{ours}residual_weight")]
    for way, own in (("h", "rows"), ("w", "columns")):
        names = {"pos_emb": "position", r"norm_image\.0": "image.0", r"norm_text\.0": "text.0"}
        names |= {rf"conv\.{index}": f"pairs.{index}" for index in (0, 1, 3)}
        rules += _layers(rf"{theirs}relnet\.{way}_rel_net\.", f"{ours}relations.{own}.", names)
    names = {rf"relnet\.last_conv\.{index}": f"relations.last.{index}" for index in (0, 2)} | {
        r"sta_in\.0": "queries.0"
    }
    names |= {rf"sta\.attn\.{name}": f"attention.{own}" for name, own in ATTENTION.items()}
    for index in (0, 2, 3, 5):
        names |= {rf"conv_gate\.{index}": f"gate.{index}", rf"conv_res\.{index}": f"residual.{index}"}
    for index in (0, 2):
        names |= {rf"conv_gate1\.{index}": f"before.{index}", rf"conv_gate2\.{index}": f"gate.{index}"}
    for number in (1, 2):
        spade = f"spades.{number - 1}"
        names |= {
            rf"spade_res{number}\.norm1": f"{spade}.features.0",
            rf"spade_res{number}\.norm2": f"{spade}.norm",
            rf"spade_res{number}\.conv_gamma": f"{spade}.scale",
            rf"spade_res{number}\.conv_beta": f"{spade}.shift",
            rf"conv_res{number}\.1": f"residuals.{number - 1}",
        }
    return rules + _layers(theirs, ours, names)


IMAGE_RULES: list[Rule] = _block(r"(?:image_encoder|resdownblocks)\.(\d+)", r"blocks.\1")
ENDS: list[Rule] = [
    *_layers("", "", {r"projector\.fc": "augmentation.fc", "fc": "fc", "norm": "last.0", "conv": "last.2"}),
    *_fusion_rules(),
]
GENERATOR_RULES: list[Rule] = [
    *ENDS,
    *(
        rule
        for number in range(1, 6)
        for rule in _block(f"resup{number}", f"text.{number - 1}" if number < 3 else f"image.{number - 3}", True)
    ),
]
MATCHES = {
    "projector": "project",
    "projection_encoder": "project",
    r"sta_projector\.embed_query": "query",
    r"sta_projector\.fc_value": "found",
    r"sta_projector\.gating\.0": "gate.weigh",
    r"coattn_projector\.fc_(image|text)": r"\1",
    r"coattn_projector\.fc_value_tii\.0": "in_image",
    r"coattn_projector\.fc_value_itt\.0": "in_text",
    r"coattn_projector\.gating_(image|text)\.0": r"\1_gate.weigh",
}
MATCHES |= {rf"sta_projector\.attn\.{name}": f"attention.{own}" for name, own in ATTENTION.items()}
MATCHES |= {
    rf"coattn_projector\.attn_{way}\.{name}": f"{ours}_attention.{own}"
    for way, ours in (("tii", "image"), ("itt", "text"))
    for name, own in ATTENTION.items()
}
DISCRIMINATOR_RULES: list[Rule] = [
    *(rule for index in range(3) for rule in _block(f"resdown{index + 1}", f"each.{index}")),
    *(rule for index in range(3) for rule in _block(f"resdown{index + 4}", f"both.{index}")),
    *(rule for theirs, ours in UNET_UP.items() for rule in _block(theirs, ours)),
    *_block("resbottleneck", "bottleneck"),
    *_layers("", "", {"linear(?:_encoder)?": "logit", "linear_decoder": "pixel.1"}),
    *_layers(r"aux_detector\.", "objects.", {"0": "0", "2": "2"}),
    *_layers("", "match.", MATCHES),
]


def load(path: Path) -> PublishedLattegan:
    """Load the networks of a snapshot, in evaluation mode on the CPU.

    The generator masks each instruction by its own padding, see its ``mixed_masks`` for the public code. Raises
    WeightsError where the file is missing, damaged, of another kind, or does not fit.
    """
    content = read_torch_file(path)
    parts = (IMAGE, GENERATOR, DISCRIMINATOR)
    if not isinstance(content, Mapping) or not set(parts) <= set(content):
        found = sorted(map(str, content))[:4] if isinstance(content, Mapping) else type(content).__name__
        raise WeightsError(
            f"{path} holds {found}, expected a dict of {', '.join(parts)}: a snapshot of smatsumori/LatteGAN"
        )
    states = [strip_prefix(as_state_dict(content[part], path)) for part in parts]
    image = _image_encoder(states[0], path)
    return PublishedLattegan(image, _generator(states[1], image.image_dim, path), _discriminator(states[2], path))


def _image_encoder(state: Mapping[str, Tensor], path: Path) -> ImageEncoder | MultiScaleImageEncoder:
    own = rename(state, IMAGE_RULES, str(path))
    depth = len({name.split(".")[1] for name in own})
    spectral, norm = _settings(own)
    kernel = "conv1.parametrizations.weight.original" if spectral else "conv1.weight"
    widths = [len(_entry(own, f"blocks.{index}.{kernel}", path)) for index in range(depth)]
    shared = {"width": widths[0], "image_dim": widths[-1], "norm": norm, "spectral": spectral}
    multi = any(name.startswith("resdownblocks") for name in state)
    return _filled(
        (lambda: MultiScaleImageEncoder(depth=depth, **shared)) if multi else (lambda: ImageEncoder(**shared)),
        own,
        path,
    )


def _generator(state: Mapping[str, Tensor], image_dim: int, path: Path) -> LatteganGenerator | MultiScaleGenerator:
    multi = "last_resup.conv1.weight" in state or "last_resup.conv1.weight_orig" in state
    text, image = (len({name.split(".")[1] for name in state if name.startswith(f"{part}.")})
                   for part in ("text_resups", "resups"))  # fmt: skip
    own = rename(state, _multi_scale_rules(text, image) if multi else GENERATOR_RULES, str(path))
    spectral, norm = _settings(own)
    weight = "parametrizations.weight.original" if spectral else "weight"
    condition, first = (_entry(own, f"{name}.{weight}", path) for name in ("augmentation.fc", "fc"))
    width = _entry(own, f"text.0.conv1.{weight}", path).shape[1] // 16
    shared: dict[str, Any] = {
        "text_dim": condition.shape[1],
        "image_dim": image_dim,
        "width": width,
        "condition_dim": len(condition) // 2,
        "noise_dim": first.shape[1] - len(condition) // 2,
        "norm": norm,
        "spectral": spectral,
        "fusion": _fusion(own, image_dim, weight, path),
    }
    if not multi:
        return _filled(lambda: LatteganGenerator(**shared), own, path)
    gate = _entry(own, f"gates.0.gate.5.{weight}", path)
    return _filled(
        lambda: MultiScaleGenerator(
            **shared,
            fusion_resolution=2 * FIRST_RESOLUTION * 2**text,
            resolution=4 * FIRST_RESOLUTION * 2 ** (text + image),
            channel_gate=len(gate) > 1,
        ),
        own,
        path,
    )


def _multi_scale_rules(text: int, image: int) -> list[Rule]:
    """Return the rules of a generator with ``text`` further blocks before the fusion and ``image`` gates behind it."""
    rules = [*ENDS, *_block("resup1", "text.0", True), *_block("last_resup", f"image.{image}", True)]
    for index in range(text):
        rules += _block(rf"text_resups\.{index}", f"text.{index + 1}", True)
    for index in range(image):
        rules += _block(rf"resups\.{index}", f"image.{index}", True)
        names = {"emb": "text"} | {rf"conv_gate\.{at}": f"gate.{at}" for at in (0, 2, 3, 5)}
        rules += _layers(rf"tidgs\.{index}\.", f"gates.{index}.", names)
        rules += [
            (rf"tidgs\.{index}\.w_gate", f"gates.{index}.gate_weight"),
            (rf"tidgs\.{index}\.w_res", f"gates.{index}.residual_weight"),
        ]
    return rules


def _fusion(own: Mapping[str, Tensor], image_dim: int, weight: str, path: Path) -> Callable[..., nn.Module]:
    """Return the fusion that the weights are of, to be called with its sizes."""
    if "fusion.gate_weight" not in own:
        return Concat
    spade = f"fusion.before.2.{weight}" in own
    first, last = ("before.2", "gate.2") if spade else ("gate.2", "gate.5")
    entry = _entry(own, f"fusion.{first}.{weight}", path)
    hidden, features = entry.shape[:2]
    attends = f"fusion.attention.query.{weight}" in own
    relations = any(name.startswith("fusion.relations.") for name in own)
    asked = _entry(own, f"fusion.attention.query.{weight}", path).shape[1] if attends else features
    # a plain TIRG with relations of 512 channels has as many features either way: concat, the published choice
    replaces = attends and features == image_dim + hidden and (spade or not relations or asked + hidden != features)
    return partial(
        TirgSpade if spade else Tirg,
        words="none" if not attends else "replace" if replaces else "concat",
        relations=relations,
        hidden=hidden,
        channel_gate=len(_entry(own, f"fusion.{last}.{weight}", path)) > 1,
    )


def _discriminator(state: Mapping[str, Tensor], path: Path) -> LatteganDiscriminator | UnetDiscriminator:
    own = rename(state, DISCRIMINATOR_RULES, str(path))
    spectral, _ = _settings(own)
    weight = "parametrizations.weight.original" if spectral else "weight"
    width = len(_entry(own, f"each.0.conv1.{weight}", path))
    compared = _entry(own, f"both.0.conv1.{weight}", path).shape[1] // (4 * width)
    match, text_dim = _match(own, weight, path)
    shared = {
        "text_dim": text_dim,
        "num_objects": len(_entry(own, f"objects.2.{weight}", path)),
        "width": width,
        "spectral": spectral,
    }
    if f"bottleneck.conv1.{weight}" in own:
        return _filled(lambda: UnetDiscriminator(**shared), own, path)
    comparison = {1: "subtract", 2: "concat", 3: "all"}.get(compared, "subtract")
    return _filled(lambda: LatteganDiscriminator(match=match, comparison=comparison, **shared), own, path)


def _match(own: Mapping[str, Tensor], weight: str, path: Path) -> tuple[Callable[..., nn.Module], int]:
    """Return the text's part of the score that the weights are of, and the size of the text's embeddings."""
    if "match.project.weight" in own:
        return SentenceMatch, own["match.project.weight"].shape[1]
    if f"match.query.{weight}" in own:
        query = _entry(own, f"match.query.{weight}", path)
        return partial(WordMatch, width=len(query), gate=f"match.gate.weigh.{weight}" in own), query.shape[1]
    text = _entry(own, f"match.text.{weight}", path)
    return partial(CoAttention, width=len(text), gate=f"match.text_gate.weigh.{weight}" in own), text.shape[1]


def _settings(own: Mapping[str, Tensor]) -> tuple[bool, str]:
    """Return whether there is spectral norm, and which other norm."""
    spectral = any(name.endswith(".original") for name in own)
    return spectral, "batch" if any(name.endswith(".running_mean") for name in own) else "instance"


def _filled(make: Callable[[], nn.Module], own: dict[str, Tensor], path: Path) -> Any:
    """Build the network without weights, whose orthogonal start takes long, and give it those of the file.

    Layers of 1 x 1 kernels are linear ones here, and factors of batch norm have one axis.
    """
    with torch.device("meta"):
        network = make()
    axes = {name: value.dim() for name, value in network.state_dict().items()}
    state = {name: _reshaped(value, axes.get(name, 0)) for name, value in own.items()}
    counters = [name for name in axes if name.endswith(".num_batches_tracked") and name not in state]
    state |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    load_strictly(network, state, str(path), assign=True)
    return network.eval()


def _reshaped(value: Tensor, axes: int) -> Tensor:
    """Return an entry (O, I, 1, 1) or (1, C, 1, 1) with the fewer axes that it has here."""
    if value.dim() != 4 or value.shape[2:] != (1, 1) or axes not in (1, 2):
        return value
    return value.flatten(1) if axes == 2 else value.flatten()


def _entry(state: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """Return a weight that tells sizes, of two axes or more."""
    if name not in state or state[name].dim() < 2:
        raise WeightsError(f"{path} lacks {name} (by this project's names): it is a snapshot of another kind.")
    return state[name]
