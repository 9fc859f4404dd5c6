"""Accuracy of the objects in generated images: are those there that a caption asks for, with the right attributes?

Objects that were found in an image (for the embedded world by `models.segmenter.objects.describe`) are assigned to
those that its caption asks for so that as many attributes as possible agree; a tie goes to the colour, then to the
shape. An attribute is right where the assigned object has it; an object that is missing has none right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import UserError

ATTRIBUTES = ("colour", "shape", "size", "material")
TOGETHER = ("colour_and_shape", "all")  # of one object
Attributes = Mapping[str, str]
"""An object by some of `ATTRIBUTES`."""

_WEIGHTS = {
    name: 1 + 2.0 ** -(8 + rank) for rank, name in enumerate(ATTRIBUTES)
}  # sums never exceed one attribute more


class AttributeAccuracyError(UserError, ValueError):
    """Objects of which no accuracy can be computed."""


@dataclass(frozen=True)
class AttributeAccuracy:
    """Shares of what was asked for that is there, 0-1."""

    right: dict[str, float]  # by attribute, "colour_and_shape" and "all" (that were asked for); of those asked for only
    asked: dict[str, int]  # number of objects that each of these shares is of
    number: float  # share of the images with as many objects as were asked for
    images: int

    def metrics(self) -> dict[str, float]:
        """Return the shares by name, ``number`` among them."""
        return {**self.right, "number": self.number}


def attribute_accuracy(
    found: Sequence[Sequence[Attributes]], wanted: Sequence[Sequence[Attributes]]
) -> AttributeAccuracy:
    """Compare the objects found in each image with those that its caption asks for.

    ``found`` and ``wanted`` hold the objects of each image in the same order. Raises AttributeAccuracyError where they
    are of different lengths, or no attribute of any object is asked for.
    """
    if len(found) != len(wanted):
        raise AttributeAccuracyError(f"found objects of {len(found)} images and captions of {len(wanted)}")
    counts = {name: [0, 0] for name in (*ATTRIBUTES, *TOGETHER)}  # right, asked
    for own, asked in zip(found, wanted, strict=True):
        for item, assigned in zip(asked, assign(own, asked), strict=True):
            for name, agrees in _agreements(item, assigned).items():
                counts[name][0] += agrees
                counts[name][1] += 1
    if not counts["all"][1]:
        raise AttributeAccuracyError(
            "no caption asks for an attribute of an object; give scenes that their images show"
        )
    there = {name: count for name, count in counts.items() if count[1]}
    return AttributeAccuracy(
        {name: right / total for name, (right, total) in there.items()},
        {name: total for name, (_, total) in there.items()},
        float(np.mean([len(own) == len(asked) for own, asked in zip(found, wanted, strict=True)])),
        len(found),
    )


def assign(found: Sequence[Attributes], wanted: Sequence[Attributes]) -> list[Attributes | None]:
    """Return the found object that is assigned to each wanted one, None where there are too few."""
    from scipy.optimize import linear_sum_assignment  # takes a third of a second

    assigned: list[Attributes | None] = [None] * len(wanted)
    if found and wanted:
        gains = [[_gain(item, one) for one in found] for item in wanted]
        for row, column in zip(*linear_sum_assignment(gains, maximize=True), strict=True):
            assigned[row] = found[column]
    return assigned


def _gain(wanted: Attributes, found: Attributes) -> float:
    return sum(_WEIGHTS[name] for name in ATTRIBUTES if name in wanted and wanted[name] == found.get(name))


def _agreements(wanted: Attributes, assigned: Attributes | None) -> dict[str, bool]:
    """Return for each attribute that is wanted whether it is right, and the same of those that count together."""
    right = {name: assigned is not None and assigned.get(name) == wanted[name] for name in ATTRIBUTES if name in wanted}
    if "colour" in right and "shape" in right:
        right["colour_and_shape"] = right["colour"] and right["shape"]
    if right:
        right["all"] = all(right[name] for name in ATTRIBUTES if name in right)
    return right
