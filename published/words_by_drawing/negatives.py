"""``negatives.pth.tar`` of surisdi/learning-by-drawing: one-attribute negatives found once and kept.

A torch save (not a tar file) of ``{id: [(position, units), ...]}``: for the latent ``id`` each negative names a cell of
the segmented image, (row, column), and the units (C,) that are switched off, 1 for off, in the region that has that
cell's labels. In the published file the layer is layer4, and each id has four negatives. Nothing in it can run code.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common.errors import UserError
from common.files import write_whole
from common.safe_load import torch_bytes
from common.text_files import is_whole_number
from models.weights import read_torch_file, real_values


class NegativesError(UserError, ValueError):
    """A file of negatives with another layout."""


class Negative(NamedTuple):
    """One negative of an image."""

    position: tuple[int, int]  # row and column, in pixels of the segmented image
    units: Tensor  # (C,) float, 1 where a unit is switched off


def read_negatives(path: Path) -> dict[int, list[Negative]]:
    """Read the negatives of each latent's id, in the file's order, in torch's old or new format.

    Raises WeightsError where the file is missing, truncated, or holds more than values, and NegativesError, which names
    the first wrong entry, where it has another layout.
    """
    content = read_torch_file(path)
    if not isinstance(content, Mapping) or not content:
        found = f"a {type(content).__name__}" if not isinstance(content, Mapping) else "nothing"
        raise NegativesError(f"{path} holds {found}, expected a dict from ids to lists of negatives; fetch it again.")
    read = {}
    for name, rows in content.items():
        if not is_whole_number(str(name)):
            raise NegativesError(f"{path}: {name!r} is no id of a latent, expected whole numbers; fetch it again.")
        if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
            raise NegativesError(f"{path}: id {name} has {rows!r:.60}, expected a list of (position, units).")
        read[int(name)] = [_negative(path, name, row) for row in rows]
    sizes = {len(negative.units) for rows in read.values() for negative in rows}
    if len(sizes) > 1:
        raise NegativesError(f"{path}: negatives have {sorted(sizes)} units, expected one layer's number everywhere.")
    return read


def _negative(path: Path, name: Any, row: Any) -> Negative:
    try:
        position, units = row
        cell = tuple(int(value) for value in position)
        whole = all(value == number for value, number in zip(position, cell, strict=True))
        marks = real_values(torch.as_tensor(units), "units").float().flatten()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise NegativesError(f"{path}: id {name} has {row!r:.60}, expected (position, units) ({error}).") from error
    if len(cell) != 2 or not whole or min(cell) < 0 or not len(marks) or not ((marks == 0) | (marks == 1)).all():
        raise NegativesError(
            f"{path}: id {name} has position {position!r:.60} and {len(marks)} units, expected a row and a column, "
            "whole numbers from 0, and units of 0 or 1."
        )
    return Negative((cell[0], cell[1]), marks)


def write_negatives(path: Path, negatives: Mapping[int, Sequence[Negative]]) -> Path:
    """Write the negatives of each latent's id in the published layout, whole or not at all; returns ``path``."""
    content = {str(name): [(row.position, row.units.float().cpu()) for row in rows] for name, rows in negatives.items()}
    write_whole(path, torch_bytes(content))
    return path
