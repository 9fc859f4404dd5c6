"""Active learning in "Learning Words by Drawing Images" (CVPR 2019): pairs whose edited image fools the model.

One folder holds one selection, in the layout of surisdi/learning-by-drawing ``active_learning.py``, whose readers work
on ours. Row j is the same pair in every list, the pair with the largest loss first:

    units.pth         list of (k,) int64 arrays: units of the generator's layer that were ablated
    a_paths.pth       list of text: ids of the latents, as they stand in the name list
    a_hmaps.pth       list of (R, R) float32 arrays, 0 or 1: the region inside which they were ablated
    a_hmaps_eval.pth  likewise: the region around the strongest cell, whose outline annotators see
    a_hmaps_layer.pth ours: (rows, columns) float32 arrays, 0 or 1: the region on the layer's own grid. On the way there
                      by the image's resolution small regions would change or vanish; training edits these cells
    images/<j>_hn.jpg the edited image with the box of that region in red
    hm/<j>_hn.jpg     that region
    cluster/          the clusters with which the units were chosen, where they were
    active.json       ours: layer, resolution, losses, and what they were made with

Annotators then record captions of the EDITED image. These are added to the GAN-CLEVR folder of the training set below
``active/``, because the id of the latent already has a caption there:

    audio/active/<id>.wav    text/active/<id>.txt    and a line ``active/<id>`` in name_list_train.txt

:class:`datasets.spoken_captions.GanClevr` gives such a row ``latent`` <id> and ``active`` True (False for
others). In training its image is the edited one (``ActivePairs.find(latent)`` gives mask and units) and its negative
the original image: positive and negative are swapped.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import UserError
from common.files import write_together
from common.safe_load import TorchFileError, read_torch_values, torch_bytes
from common.text_files import TextError, is_whole_number, keys_once, read_text

PREFIX = "active/"
UNITS, IDS, REGIONS, SHOWN = FILES = ("units.pth", "a_paths.pth", "a_hmaps.pth", "a_hmaps_eval.pth")
CELLS = "a_hmaps_layer.pth"


class ActiveLearningError(UserError):
    """A selection for active learning that is missing, damaged, or inconsistent."""


class LatentNameError(UserError, ValueError):
    """A caption whose image a generator should make, but whose name is no latent's id."""


class ActivePair(NamedTuple):
    """One edited image; every map holds 0 or 1."""

    latent: int  # id of the noise vector
    units: np.ndarray  # (k,) int64, ablated units of the layer
    region: np.ndarray  # (R, R) float32, where they were ablated
    shown: np.ndarray  # (R, R) float32, the region that annotators see outlined
    cells: np.ndarray | None = None  # (rows, columns) float32, the region on the layer's grid; not in published folders


@dataclass(frozen=True)
class ActivePairs:
    """A selection, the largest loss first."""

    pairs: list[ActivePair]
    layer: str | None  # whose units were ablated; None in published folders, whose layer is the training config's
    details: dict[str, Any]  # everything else in ``active.json``

    def find(self, latent: int) -> ActivePair:
        """Return the edited image of a latent, of several the last, as published; ActiveLearningError without one."""
        if latent not in self._by_latent:
            raise ActiveLearningError(
                f"There is a caption {PREFIX}{latent}, but no edited image of latent {latent} among the "
                f"{len(self.pairs)} of task.objective.negatives.active_learning: give the selection that the caption "
                "was collected for, or remove it from the name list."
            )
        return self._by_latent[latent]

    @cached_property
    def _by_latent(self) -> dict[int, ActivePair]:
        return {pair.latent: pair for pair in self.pairs}


def split_name(name: str) -> tuple[str, bool]:
    """Return the id of a line of a name list, ``"123"`` or ``"active/123"``, as text, and whether it is active."""
    return name.removeprefix(PREFIX), name.startswith(PREFIX)


def latent_ids(names: Iterable[str]) -> list[int]:
    """Return the latents that the lines of a name list are named by; raise LatentNameError where one is no id."""
    names = list(names)
    ids = [split_name(name)[0] for name in names]
    wrong = [name for name, latent in zip(names, ids, strict=True) if not is_whole_number(latent)]
    if wrong:
        raise LatentNameError(
            f"{len(wrong)} of {len(names)} captions are not named by a latent's id, the first is {wrong[0]!r}, so that "
            "no generator can generate the images; give a set in the GAN-CLEVR layout, or read image files"
        )
    return [int(latent) for latent in ids]


def write_active(folder: Path, pairs: list[ActivePair], layer: str, details: dict[str, Any]) -> None:
    """Write the lists of a selection (not its images), the largest loss first; ``details`` go into ``active.json``."""
    files = {
        UNITS: [np.asarray(pair.units, np.int64) for pair in pairs],
        IDS: [str(pair.latent) for pair in pairs],
        REGIONS: [np.asarray(pair.region, np.float32) for pair in pairs],
        SHOWN: [np.asarray(pair.shown, np.float32) for pair in pairs],
    }
    if all(pair.cells is not None for pair in pairs):
        files[CELLS] = [np.asarray(pair.cells, np.float32) for pair in pairs]
    else:
        (folder / CELLS).unlink(missing_ok=True)
    about = json.dumps({"layer": layer, "pairs": len(pairs), **details}, indent=1, ensure_ascii=False)
    write_together(
        {folder / name: torch_bytes(rows) for name, rows in files.items()}
        | {folder / "active.json": f"{about}\n".encode()}
    )


def read_active(folder: Path) -> ActivePairs:
    """Read a selection, ours or a published one; nothing in it can run code.

    Raises ActiveLearningError where a file is missing or damaged, a list longer than another, or an entry of another
    kind.
    """
    names = (*FILES, CELLS) if (folder / CELLS).is_file() else FILES
    columns = {name: _read_list(folder / name) for name in names}
    if len({len(rows) for rows in columns.values()}) != 1:
        details = ", ".join(f"{name} {len(rows)}" for name, rows in columns.items())
        raise ActiveLearningError(f"{folder}: the lists differ in length ({details}); make the selection again.")
    wrong = [name for name in columns[IDS] if not is_whole_number(str(name))]
    if wrong:
        raise ActiveLearningError(f"{folder / IDS}: {wrong[0]!r} is no number; an id is the index of a noise vector.")
    details = _read_details(folder / "active.json")
    pairs = [_pair(folder, row) for row in zip(*columns.values(), strict=True)]
    return ActivePairs(pairs, details.get("layer"), details)


def _read_details(path: Path) -> dict[str, Any]:
    """Read ``active.json``; published folders have none."""
    if not path.is_file():
        return {}
    try:
        details = json.loads(read_text(path), object_pairs_hook=keys_once)
    except (ValueError, RecursionError, TextError) as error:
        raise ActiveLearningError(f"{path} is damaged ({error}); copy it again.") from error
    if not isinstance(details, dict) or not isinstance(details.get("layer"), str | None):
        raise ActiveLearningError(f"{path} holds {details!r:.60}, expected a mapping with the name of a layer.")
    return details


def _pair(folder: Path, row: tuple[Any, ...]) -> ActivePair:
    """Make one pair of its entries in the lists, checked."""
    units, name, *maps = row
    try:
        marks = np.asarray(units)
        if marks.size and marks.dtype.kind not in "iu":
            raise ValueError(f"{units!r:.60} are no unit numbers")
        maps = [_map(value) for value in maps]
        pair = ActivePair(int(name), marks.astype(np.int64).ravel(), *maps)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ActiveLearningError(
            f"{folder}: the entries of id {name} are no unit numbers and maps of rows and columns ({error}); "
            "make the selection again."
        ) from error
    return pair


def _map(value: Any) -> np.ndarray:
    """Return a region as (rows, columns) float32; a ValueError where it is none."""
    given = np.asarray(value)
    if given.dtype.kind not in "fiub" or given.ndim != 2 or not given.size:
        raise ValueError(f"a region has the shape {given.shape} and the type {given.dtype}")
    given = given.astype(np.float32)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("a region has values that are not from 0 to 1")
    return given


def _read_list(path: Path) -> list[Any]:
    if not path.is_file():
        raise ActiveLearningError(f"There is no file {path}: give a folder that generate_active_learning wrote.")
    try:
        rows = read_torch_values(path)
    except TorchFileError as error:
        raise ActiveLearningError(str(error)) from error
    if not isinstance(rows, list):
        raise ActiveLearningError(f"{path} holds a {type(rows).__name__}, expected a list with a row for each pair.")
    return rows
