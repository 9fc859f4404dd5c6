"""Describe what a segmenter sees in an image, thing by thing, and how two images of the same scene differ.

Shape letters: B images, L = 18 labels, H, W pixels, R pixels high and wide of the image.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.segmenter.labels import Segmenter
from models.segmenter.objects import SeenObject, seen_objects

OVERLAP = 0.3  # intersection over union from which two regions are the same thing


class Change(NamedTuple):
    """One attribute of one thing that differs."""

    thing: int  # its number in the first image
    kind: str  # size, material, shape or colour
    before: str  # its label there
    after: str  # its label in the second image


def things(labels: Tensor) -> list[SeenObject]:
    """Take labels (L, H, W) bool apart into things, from left to right.

    The confidence of an attribute is the share of pixels that agree on it.
    """
    return seen_objects(labels.float())


def changes(before: list[SeenObject], after: list[SeenObject]) -> list[Change] | None:
    """Return every attribute that differs in two images of a scene; None when things came or went."""
    if len(before) != len(after):
        return None
    found: list[Change] = []
    free = list(range(len(after)))
    for number, thing in enumerate(before):
        overlaps = [_overlap(thing.mask, after[other].mask) for other in free]
        if not overlaps or max(overlaps) < OVERLAP:
            return None
        other = after[free.pop(int(np.argmax(overlaps)))]
        found += [
            Change(number, kind, label, other.attributes[kind])
            for kind, label in thing.attributes.items()
            if other.attributes[kind] != label
        ]
    return found


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@torch.no_grad()
def reported_changes(segmenter: Segmenter, images: Tensor) -> list[str]:
    """Say in a few words how each of K edited images differs from the first, of (1 + K, 3, R, R) in about [-1, 1].

    "colour: red to blue" for one attribute, "several: ..." for more, "things: ..." where things came or went, or
    "nothing seen".
    """
    before, *edits = (things(labels) for labels in segmenter.segment(images))
    return [_message(before, after) for after in edits]


def _message(before: list[SeenObject], after: list[SeenObject]) -> str:
    found = changes(before, after)
    if found is None:
        return f"things: {len(before)} to {len(after)}"
    if not found:
        return "nothing seen"
    rows = ", ".join(f"{change.before} to {change.after}" for change in found)
    return f"{found[0].kind if len(found) == 1 else 'several'}: {rows}"
