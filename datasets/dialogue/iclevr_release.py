"""Convert i-CLEVR's release to the HDF5 files of Maluuba/GeNeVA_datasets (``scripts/iclevr_dataset_generation``).

    python run.py -f lattegan/convert_iclevr.yaml data.release=raw-data/i-CLEVR

Coordinates are pixels of 320 x 240 scaled to 128 x 128, and the camera's depth as it is. Two objects of one shape and
colour share a slot, which then holds the later one: a turn may add nothing. As published.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.parallel import progress
from config import check_values
from datasets.dialogue.records import SIZE
from datasets.dialogue.release_files import (
    SPLITS,
    GroupWriter,
    ReleaseError,
    read_bgr,
    read_json,
    read_lines,
    small,
)
from datasets.media_files import write_lines

SHAPES = ("cube", "sphere", "cylinder")
COLOURS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")
CLASSES = tuple(f"{shape} {colour}" for shape in SHAPES for colour in COLOURS)
WIDTH, HEIGHT = 320, 240  # pixels of the release's images


@dataclass(frozen=True)
class IclevrRelease:
    """The release to convert.

    Args:
        release: Folder with ``scenes/CLEVR_{split}_<id>.json``, ``images/CLEVR_{split}_<id>_*.png``,
            ``text/CLEVR_{split}_<id>.txt`` and ``background.png``.
        folder: Gets ``clevr_{train,val,test}.h5``, ``clevr_obj_{train,val,test}.h5`` and ``objects.txt``.
    """

    release: Path
    folder: Path

    def __post_init__(self) -> None:
        check_values(self)


def convert(data: IclevrRelease) -> None:
    """Write the HDF5 files of all splits; those that are there stay, a run that was stopped goes on.

    Args:
        data: The release and the folder.

    Raises:
        ReleaseError: A file is missing, or does not fit.
    """
    data.folder.mkdir(parents=True, exist_ok=True)
    write_lines(data.folder / "objects.txt", CLASSES)
    head = {"background": read_bgr(data.release / "background.png"), "entities": json.dumps(list(CLASSES))}
    for split in SPLITS:
        files = sorted((data.release / "scenes").glob(f"CLEVR_{split}_*.json"))
        if not files:
            raise ReleaseError(f"{data.release / 'scenes'} holds no CLEVR_{split}_*.json: expected i-CLEVR's release")
        with (
            GroupWriter(data.folder / f"clevr_{split}.h5", head) as dialogues,
            GroupWriter(data.folder / f"clevr_obj_{split}.h5", {}) as images,
            progress(f"dialogues of {split}", len(files), 0) as advance,
        ):
            pictured = 0
            for file in files:
                scene_id = file.stem.split("_")[2]
                objects, coords = cumulated(read_json(file), file)
                dialogues.add(scene_id, lambda f=file, o=objects, c=coords: _dialogue(data.release, f, o, c))
                for turn in range(len(objects)):
                    images.add(
                        str(pictured),
                        lambda f=file, t=turn, o=objects, c=coords: _single(data.release, f, t, o, c),
                    )
                    pictured += 1
                advance(1)


def cumulated(scene: Mapping[str, Any], file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return objects (L, 24) and coordinates (L, 24, 3) after each turn, float64; ``file`` is named in errors."""
    try:
        added = [
            (CLASSES.index(f"{one['shape']} {one['color']}"), [float(value) for value in one["pixel_coords"][:3]])
            for one in scene["objects"]
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ReleaseError(
            f"{file}: is no scene of i-CLEVR ({type(error).__name__}: {error}); expected objects with shape, color and "
            "pixel_coords"
        ) from error
    objects, coords = np.zeros((len(added), len(CLASSES))), np.zeros((len(added), len(CLASSES), 3))
    for turn, (kind, (x, y, depth)) in enumerate(added):
        objects[turn:, kind] = 1.0
        coords[turn:, kind] = x / WIDTH * SIZE, y / HEIGHT * SIZE, depth
    return objects, coords


def _pictures(release: Path, file: Path, turns: int) -> list[Path]:
    found = sorted((release / "images").glob(f"{file.stem}_*"))
    if len(found) != turns:
        raise ReleaseError(f"{release / 'images'}: {len(found)} images of {file.stem}, expected {turns}, one a turn")
    return found


def _dialogue(release: Path, file: Path, objects: np.ndarray, coords: np.ndarray) -> dict[str, Any]:
    texts = read_lines(release / "text" / f"{file.stem}.txt")
    if len(texts) != len(objects):
        raise ReleaseError(f"{file.stem}.txt has {len(texts)} lines, expected {len(objects)}, one a turn")
    return {
        "images": np.stack([small(read_bgr(path)) for path in _pictures(release, file, len(objects))]),
        "text": json.dumps(texts),
        "objects": objects,
        "coords": coords,
        "scene_id": file.stem.split("_")[2],
    }


def _single(release: Path, file: Path, turn: int, objects: np.ndarray, coords: np.ndarray) -> dict[str, Any]:
    return {
        "image": small(read_bgr(_pictures(release, file, len(objects))[turn])),
        "objects": objects[turn],
        "coords": coords[turn],
        "scene_id": file.stem.split("_")[2],
    }
