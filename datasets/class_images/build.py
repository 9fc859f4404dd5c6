"""Makes folders of images with classes, in shards; a killed build goes on where it was.

folder/train.npy, validation.npy                   (N, S, S, 3) uint8
folder/train_classes.npy, validation_classes.npy   (N,) int64
folder/class_images.json                           settings, names of the classes, whether all of it is there
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import written_whole
from datasets.sharded_build import build_once, is_complete, make_missing

STATE = "class_images.json"
SPLITS = ("train", "validation")
_SHARD = 256
_NOUNS = ("no images with classes", "other images with classes", "images.folder")

Part = tuple[np.ndarray, np.ndarray]  # images (n, S, S, 3) uint8 and classes (n,) int64
Make = Callable[[str, range], Part]


class ClassImagesError(UserError, ValueError):
    """Images with classes cannot be made or read: wrong settings, or something else in their folder."""


def ensure(
    folder: Path,
    settings: Mapping[str, Any],
    classes: Sequence[str],
    counts: Mapping[str, int],
    make: Make,
    workers: int,
) -> Path:
    """Fill a folder unless it is there already.

    Args:
        folder: that is filled.
        settings: everything that decides its content, as plain JSON.
        classes: names, in the order of their numbers.
        counts: images of each of ``SPLITS``.
        make: makes the images and classes of some rows of a split, always the same ones.
        workers: processes; 0 is one for each core.

    Returns:
        The folder.

    Raises:
        ClassImagesError: the folder holds something else.
    """
    asked = {**settings, "classes": list(classes), "counts": dict(counts)}
    path = folder / STATE

    def work() -> dict[str, Any]:
        for split in SPLITS:
            _write_split(folder, split, counts[split], make, workers)
        return {}

    build_once(path, {"settings": asked}, lambda: is_complete(path, asked, ClassImagesError, _NOUNS), work)
    for part in folder.glob("part_*.npz"):
        part.unlink(missing_ok=True)
    return folder


def _part(folder: Path, split: str, shard: int) -> Path:
    return folder / f"part_{split}_{shard:06d}.npz"


def _make_shard(folder: Path, split: str, count: int, make: Make, shard: int) -> int:
    rows = range(shard * _SHARD, min((shard + 1) * _SHARD, count))
    images, classes = make(split, rows)
    with written_whole(_part(folder, split, shard)) as temporary, temporary.open("wb") as file:
        np.savez(file, images=images, classes=classes)
    return len(rows)


def _write_split(folder: Path, split: str, count: int, make: Make, workers: int) -> None:
    shards = range(-(-count // _SHARD))
    missing = [shard for shard in shards if not _part(folder, split, shard).exists()]
    shard_maker = partial(_make_shard, folder, split, count, make)
    make_missing(shard_maker, missing, count, _SHARD, workers, f"{split} images", "images.workers")
    with np.load(_part(folder, split, 0)) as first:
        shape = first["images"].shape[1:]
    all_classes = np.empty(count, dtype=np.int64)
    with written_whole(folder / f"{split}.npy") as temporary:
        whole = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, *shape))
        for shard in shards:  # one by one, since all images may not fit into memory
            with np.load(_part(folder, split, shard)) as part:
                whole[shard * _SHARD :][: len(part["images"])] = part["images"]
                all_classes[shard * _SHARD :][: len(part["classes"])] = part["classes"]
        whole.flush()
        del whole
    with written_whole(folder / f"{split}_classes.npy") as temporary, temporary.open("wb") as file:
        np.save(file, all_classes)
