"""Files of directions, and of directions of words: ``NAME.safetensors`` with the tensors, ``NAME.json`` with the rest.

Shape letters as in :mod:`gan.directions.directions`; V words.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from common.files import write_whole
from gan.directions.directions import DirectionError, Directions
from gan.directions.distillation import Vocabulary
from models.weights import read_card, read_state_dict

DIRECTIONS, VOCABULARY = "directions", "vocabulary"  # kinds of card
ALL = "all"  # the vocabulary of all classes together


class FoundDirections(NamedTuple):
    """Keep directions with the latents that they were found from."""

    directions: Directions
    latents: Tensor  # (Z, D)
    classes: Tensor | None  # (Z,) int64; None of generators without classes

    @property
    def shared(self) -> bool:
        """Return whether one set of directions is for all latents."""
        return len(self.directions.vectors) == 1 and len(self.latents) > 1


def save_directions(path: Path, found: FoundDirections, made: Mapping[str, Any]) -> None:
    """Write directions to ``path`` (``.safetensors``) and a card beside it; ``made`` says how, in plain values."""
    tensors = {
        "vectors": found.directions.vectors,
        "scores": found.directions.scores,
        "latents": found.latents,
        **({} if found.classes is None else {"classes": found.classes}),
    }
    _write(path, tensors, {"kind": DIRECTIONS, "layers": found.directions.layers, **made})


def load_directions(path: Path) -> tuple[FoundDirections, dict[str, Any]]:
    """Read directions and the card of a file of :func:`save_directions`.

    Raises:
        DirectionError: the file holds something else, or its parts do not fit each other.
        WeightsError: a file is missing or damaged.
    """
    tensors, card = _read(path, DIRECTIONS)
    needed = {"vectors": 3, "scores": 2, "latents": 2}
    for name, axes in needed.items():
        if name not in tensors or tensors[name].dim() != axes or not tensors[name].is_floating_point():
            found = f"shape {tuple(tensors[name].shape)}" if name in tensors else "none"
            raise DirectionError(f"{path}: found {found} for {name!r}, expected numbers with {axes} axes")
    vectors, scores, latents = (tensors[name] for name in needed)
    layers, classes = card.get("layers"), tensors.get("classes")
    sets, number, dim = vectors.shape
    fits = (
        isinstance(layers, list)
        and len(layers) == number
        and scores.shape == (sets, number)
        and latents.shape[1] == dim
        and sets in (1, len(latents))
        and (classes is None or classes.shape == (len(latents),))
    )
    if not fits or not vectors.isfinite().all():
        raise DirectionError(
            f"{path}: {sets} sets of {number} directions of {dim} numbers do not fit {tuple(latents.shape)} latents "
            "and the card beside them; find them again"
        )
    return FoundDirections(Directions(vectors, list(map(str, layers)), scores), latents, classes), card


def save_vocabularies(path: Path, vocabularies: Mapping[str, Vocabulary], made: Mapping[str, Any]) -> None:
    """Write vocabularies by class (``all`` among them) to ``path`` (``.safetensors``) and a card beside it."""
    tensors = {name: vocabulary.vectors for name, vocabulary in vocabularies.items()}
    described = {
        name: {
            "words": one.words,
            "counts": one.counts,
            "penalty": one.penalty,
            "errors": [[penalty, error] for penalty, error in one.errors.items()],
        }
        for name, one in vocabularies.items()
    }
    _write(path, tensors, {"kind": VOCABULARY, **made, "vocabularies": described})


def load_vocabularies(path: Path) -> tuple[dict[str, Vocabulary], dict[str, Any]]:
    """Read vocabularies and the card of a file of :func:`save_vocabularies`.

    Raises:
        DirectionError: the file holds something else, or its parts do not fit each other.
        WeightsError: a file is missing or damaged.
    """
    tensors, card = _read(path, VOCABULARY)
    described = card.get("vocabularies")
    if not isinstance(described, dict) or described.keys() != tensors.keys() or ALL not in tensors:
        raise DirectionError(f"{path} and its card name other vocabularies, or none of all classes; distil again")
    found = {}
    for name, one in described.items():
        vectors = tensors[name]
        words, counts = (one.get("words"), one.get("counts")) if isinstance(one, dict) else (None, None)
        lists = isinstance(words, list) and isinstance(counts, list) and all(isinstance(word, str) for word in words)
        if not lists or vectors.dim() != 2 or not len(vectors) == len(words) == len(counts):
            raise DirectionError(f"{path}: the words of {name!r} do not fit its {tuple(vectors.shape)} directions")
        if not vectors.is_floating_point() or not vectors.isfinite().all():
            raise DirectionError(f"{path}: the directions of {name!r} are not finite numbers; distil again")
        errors = {float(penalty): float(error) for penalty, error in one.get("errors", [])}
        found[name] = Vocabulary(words, vectors, counts, float(one.get("penalty", math.nan)), errors)
    return found, card


def _write(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    if path.suffix != ".safetensors":
        raise DirectionError(f"{path}: expected a name that ends with .safetensors")
    kept = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    kept = {name: value.float() if value.is_floating_point() else value for name, value in kept.items()}
    write_whole(path, save(kept))
    write_whole(path.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise DirectionError(f"{path}: expected the .safetensors file of {kind}, with its .json beside it")
    tensors = read_state_dict(path)
    card = read_card(path.with_suffix(".json"), f"copy it beside {path.name}, or make both again")
    if not isinstance(card, dict) or card.get("kind") != kind:
        told = card.get("kind") if isinstance(card, dict) else None
        raise DirectionError(f"{path} is of kind {told!r}, expected {kind}")
    return {
        name: value.to(torch.float32) if value.is_floating_point() else value for name, value in tensors.items()
    }, card
