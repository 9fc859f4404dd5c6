"""The format of a trained LatteGAN that is read without its runs: ``NAME.json``, and ``NAME.safetensors`` beside it.

The card holds the networks as nodes (image_encoder, generator, discriminator, and text, which encodes instructions),
the words that the text encoder reads, the classes of objects, and how the weights came about. The weights are
``<network>.<parameter>``, ``vectors`` (words, V) and ``background`` (R, R, 3) uint8, the empty scene; those of the
discriminator, which chooses among candidates and with which a training goes on, are float16. An export that
comes with the project holds the localiser beside it, ``NAME_localizer.json`` and ``.safetensors``.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import config
from common.errors import UserError
from datasets.dialogue.texts import WordVectors
from gan.lattegan.rollout import Networks
from models.instruction_encoders import GruInstructionEncoder
from models.weights import build_for, read_card, read_state_dict, write_weights

TEXT, VECTORS, BACKGROUND = "text", "vectors", "background"
HALVED = "discriminator."  # stored in half the bytes
PARTS = (*Networks._fields, TEXT)
REMEDY = "write it with lattegan/export.yaml"


class ExportError(UserError, ValueError):
    """An export that is not one of LatteGAN's."""


class Exported(NamedTuple):
    """What an export holds."""

    networks: dict[str, nn.Module]  # by the names of PARTS
    texts: WordVectors
    corpus: str  # ``iclevr`` or ``codraw``
    background: np.ndarray  # (R, R, 3) uint8
    card: dict[str, Any]


def save_export(
    path: Path, found: Mapping[str, nn.Module], nodes: Mapping[str, dict[str, Any]], texts: WordVectors,
    corpus: str, background: np.ndarray, about: Mapping[str, Any],
) -> Path:  # fmt: skip
    """Write an export.

    Args:
        path: the ``.json``.
        found: networks by the names of :data:`PARTS`.
        nodes: of the same networks, complete, so that they can be built from them.
        texts: reads instructions for the text encoder.
        corpus: ``iclevr`` or ``codraw``, whose history the instructions have.
        background: (R, R, 3) uint8, the empty scene.
        about: further plain values for the card.

    Returns:
        The file of the weights.

    Raises:
        ExportError: ``path`` does not end in ``.json``, or the text encoder is none of word vectors.
    """
    if path.suffix != ".json":
        raise ExportError(f"found {path.name} as the name of an export, expected one that ends in .json")
    if not isinstance(found[TEXT], GruInstructionEncoder):
        raise ExportError(
            f"the text encoder is a {type(found[TEXT]).__name__}, expected a GruInstructionEncoder: give one"
        )
    state = {f"{name}.{key}": value for name in PARTS for key, value in found[name].state_dict().items()}
    for key in state:
        if key.startswith(HALVED) and state[key].is_floating_point():
            state[key] = state[key].half()
    state |= {VECTORS: texts.table, BACKGROUND: torch.from_numpy(background)}
    words = {"words": texts.words, "max_words": texts.max_words, "max_previous": texts.max_previous}
    card = {"kind": "lattegan", **about, "corpus": corpus, "networks": {name: nodes[name] for name in PARTS}}
    weights = path.with_suffix(".safetensors")
    write_weights(weights, state, card | {"texts": words})
    return weights


def read_export(path: Path) -> Exported:
    """Read an export, networks in evaluation mode on the CPU.

    Raises:
        UserError: a file is missing, damaged, or does not fit.
    """
    card, weights = _card(path), path.with_suffix(".safetensors")
    state = read_state_dict(weights)
    for name in (VECTORS, BACKGROUND):
        if name not in state:
            raise ExportError(f"{weights} lacks {name}: {REMEDY}")
    texts = card["texts"]
    reader = WordVectors.of_table(texts["words"], state[VECTORS], texts["max_words"], texts["max_previous"], weights)
    networks = {}
    for name in PARTS:
        try:
            node = config.check_outside(card["networks"][name], nn.Module, f"networks.{name}")
        except config.ConfigError as error:
            raise ExportError(f"{path} describes what this version of the project does not build: {error}") from error
        networks[name] = build_for(partial(config.build, node, name), _below(state, name), str(weights)).eval()
    return Exported(networks, reader, card["corpus"], state[BACKGROUND].numpy(), card)


def text_encoder(path: Path) -> GruInstructionEncoder:
    """Return the text encoder of an export, for lattegan/embed.yaml; errors as of :func:`read_export`.

    Args:
        path: the ``.json``.
    """
    return read_export(path).networks[TEXT]


def text_reader(path: Path) -> WordVectors:
    """Return what reads instructions for the text encoder of an export; errors as of :func:`read_export`.

    Args:
        path: the ``.json``.
    """
    return read_export(path).texts


def text_node(encoder: GruInstructionEncoder) -> dict[str, Any]:
    """Return the node of a text encoder, whatever it was read from."""
    return {
        "type": "models.instruction_encoders.GruInstructionEncoder",
        "word_dim": encoder.word_dim,
        "text_dim": encoder.text_dim,
    }


def export_weights(path: Path) -> dict[str, dict[str, Tensor]]:
    """Return the weights of an export by the names of its networks, for ``init_from``.

    Raises:
        UserError: card or weights are missing or damaged.
    """
    _card(path)
    state = read_state_dict(path.with_suffix(".safetensors"))
    return {name: _below(state, name) for name in PARTS}


def _card(path: Path) -> dict[str, Any]:
    """Return a card whose parts have the right types."""
    card = read_card(path, REMEDY)
    fits = isinstance(card, dict) and all(isinstance(card.get(name), dict) for name in ("networks", "texts"))
    fits = fits and all(isinstance(card["networks"].get(name), dict) for name in PARTS)
    fits = fits and isinstance(card["texts"].get("words"), list) and card.get("corpus") in ("iclevr", "codraw")
    if not fits or not all(type(card["texts"].get(name)) is int for name in ("max_words", "max_previous")):
        raise ExportError(f"{path} describes no LatteGAN ({', '.join(PARTS)}, texts, corpus): {REMEDY}")
    return card


def _below(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the weights of one network, in float32."""
    own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    return {key: value.float() if value.is_floating_point() else value for key, value in own.items()}
