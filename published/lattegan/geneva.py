"""Snapshots of GeNeVA-GAN, to start a training from: of Maluuba/GeNeVA and of smatsumori/LatteGAN's own training of it.

``snapshot_<iteration>.pth`` of the first has ``<network>_state_dict`` of seven networks, optimisers and the arguments;
``e<epoch>_i<iteration>.pth`` of the second has four networks and the dialogue's, without a discriminator.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.weights import WeightsError, as_state_dict, read_torch_file, strip_prefix
from published.key_map import Rule, rename

END = "_state_dict"
SPECTRAL: list[Rule] = [
    (r"(.+)\.weight_orig", r"\1.parametrizations.weight.original"),
    (r"(.+)\.weight_([uv])", r"\1.parametrizations.weight.0._\2"),
    (r"(.+)", r"\1"),
]
BLOCK: list[Rule] = [
    (r"(.*)conv_shortcut\.(.+)", r"\1shortcut.\2"),
    (r"(.*)self_attention\.f_x\.(.+)", r"\1attention.key.\2"),
    (r"(.*)self_attention\.g_x\.(.+)", r"\1attention.query.\2"),
    (r"(.*)self_attention\.h_x\.(.+)", r"\1attention.value.\2"),
    (r"(.*)self_attention\.(.+)", r"\1attention.\2"),
    (r"(resup.*)\.bn(\d)\.bn\.(.+)", r"\1.norm\2.norm.\3"),
    (r"(resup.*)\.bn(\d)\.(.+)", r"\1.norm\2.\3"),
    (r"(.+)", r"\1"),
]
GENERATOR: list[Rule] = [
    *((rf"resup{number}\.(.+)", rf"text.{number - 1}.\1") for number in (1, 2)),
    *((rf"resup{number}\.(.+)", rf"image.{number - 3}.\1") for number in (3, 4, 5)),
    (r"condition_projector\.(.+)", r"augmentation.\1"),
    (r"fc1\.(.+)", r"fc.\1"),
    (r"bn\.(.+)", r"norm.\1"),
    (r"((?:conv|gate)\..+)", r"\1"),
]
DISCRIMINATOR: list[Rule] = [
    *((rf"resdown{number}\.(.+)", rf"each.{number - 1}.\1") for number in (1, 2, 3)),
    *((rf"resdown{number}\.(.+)", rf"both.{number - 4}.\1") for number in (4, 5, 6)),
    (r"linear\.(.+)", r"logit.\1"),
    (r"condition_projector\.(.+)", r"condition.\1"),
    (r"aux_objective\.(.+)", r"objects.\1"),
]
RULES: dict[str, list[Rule]] = {
    "generator": GENERATOR,
    "discriminator": DISCRIMINATOR,
    "image_encoder": [(r"image_encoder\.(.+)", r"blocks.\1")],
    "sentence_encoder": [(r"gru\.(.+)", r"rnn.\1"), (r"layer_norm\.(.+)", r"norm.\1")],
}
DIALOGUE: dict[str, list[Rule]] = {
    "condition_encoder": [(r"text_projection\.(.+)", r"project.\1"), (r"bn\.(.+)", r"norm.\1")],
    "rnn": [(r"layer_norm\.(.+)", r"output.\1"), (r"(?:rnn\.)?(.+)", r"rnn.\1")],
    "layer_norm": [(r"(.+)", r"output.\1")],
}


def read_states(path: Path, gate: bool) -> dict[str, dict[str, Tensor]]:
    """Read the weights of a snapshot, by this project's names of networks and entries.

    Args:
        path: of the file.
        gate: the generator has a gate; the public code's has one also where it is not used, which is left out.

    Raises:
        WeightsError: the file is missing, damaged or of another kind.
    """
    content = read_torch_file(path)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, expected a snapshot of GeNeVA-GAN")
    parts = {str(name).removesuffix(END): value for name, value in content.items()}
    missing = [name for name in ("generator", "image_encoder", "sentence_encoder", "condition_encoder", "rnn")
               if name not in parts]  # fmt: skip
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)}: expected a snapshot of GeNeVA-GAN")
    return own_states({name: parts[name] for name in (*RULES, *DIALOGUE) if name in parts}, gate, path)


def own_states(parts: Mapping[str, Any], gate: bool, path: Path) -> dict[str, dict[str, Tensor]]:
    """Return published state dicts, by the networks' published names, by this project's."""
    states = {name: strip_prefix(as_state_dict(part, path)) for name, part in parts.items()}
    own: dict[str, dict[str, Tensor]] = {}
    for name, rules in RULES.items():
        if name not in states:
            continue
        state = {key: value for key, value in states[name].items() if not key.startswith("object_detector")}
        if name == "generator" and not gate:
            state = {key: value for key, value in state.items() if not key.startswith("gate.")}
        for step in (BLOCK, rules, SPECTRAL):
            state = rename(state, step, str(path))
        own[name] = state
    own["dialogue"] = {
        key: value
        for name, rules in DIALOGUE.items()
        if name in states
        for key, value in rename(states[name], rules, str(path)).items()
    }
    return own
