"""Images of the embedded world alone, without captions or speech: what a generator of images learns from.

    folder/train.npy, validation.npy   (N, S, S, 3) uint8
    folder/renders.json                the settings and how far the rendering is

Scene i of a split is a function of the seed, the split and i, so that what an image shows can be looked up.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from common.files import written_whole
from config.limits import Count, CountOrZero, Resolution, Seed, Workers
from datasets.digests import rows_digest
from datasets.loading.passes import Passes
from datasets.sharded_build import build_once, is_complete, make_missing, read_state
from datasets.world.render.ray_cast import render
from datasets.world.scene.near import near_scene
from datasets.world.scene.objects import Scene

log = logging.getLogger(__name__)

SPLITS = ("train", "validation")
_SHARD = 256
_STATE = "renders.json"
_NOUNS = ("no renders", "other renders", "renders.folder")
SAMPLED = 64  # images that the digest of a split reads
SMALL = 64  # images of a split in a dry run


class RendersError(UserError, ValueError):
    """Renders cannot be made or read: wrong settings, or something else in their folder."""


@dataclass(frozen=True)
class RenderSet:
    """A set of renders of near scenes (datasets/world/scene/near.py).

    Attributes:
        folder: folder of the renders.
        images: training images.
        validation: images held out for measuring.
        size: height and width, pixels.
        seed: of the scenes.
        min_objects: fewest objects of a scene.
        max_objects: most objects of a scene.
        workers: processes; 0 is one for each core.

    Raises:
        RendersError: a number is too small.
    """

    folder: Path
    images: Count
    validation: CountOrZero = 2000
    size: Resolution = 64
    seed: Seed = 0
    min_objects: Count = 1
    max_objects: Count = 2
    workers: Workers = 0

    def __post_init__(self) -> None:
        if min(self.images, self.validation, self.size) < 1 or self.seed < 0 or self.workers < 0:
            raise RendersError(
                f"images={self.images}, validation={self.validation}, size={self.size}, seed={self.seed}, "
                f"workers={self.workers}; expected positive numbers, and seed and workers not below 0"
            )

    @property
    def settings(self) -> dict[str, int]:
        """The settings that decide the images, as plain JSON."""
        return {name: value for name, value in asdict(self).items() if name not in ("folder", "workers")}

    def count(self, split: str) -> int:
        """Count the images of a split."""
        return self.images if split == "train" else self.validation

    def scene(self, split: str, index: int) -> Scene:
        """Return the scene of image ``index`` of a split."""
        digest = hashlib.sha256(f"{self.seed} {split} {index}".encode()).digest()
        return near_scene(int.from_bytes(digest[:6], "big"), self.min_objects, self.max_objects)


def ensure_renders(renders: RenderSet, dry_folder: Path | None = None) -> Path:
    """Render a set unless it is there already; one that was interrupted goes on where it was.

    Args:
        renders: the settings of the renders, with their folder.
        dry_folder: render a few images there instead, for a dry run.

    Returns:
        The folder.

    Raises:
        RendersError: the folder holds another set.
    """
    if dry_folder is not None:
        renders = replace(renders, folder=dry_folder, images=min(renders.images, SMALL), validation=SMALL, workers=1)
    path, asked = renders.folder / _STATE, renders.settings
    build_once(
        path, {"settings": asked}, lambda: is_complete(path, asked, RendersError, _NOUNS), lambda: _make(renders)
    )
    for part in renders.folder.glob("part_*.npy"):
        part.unlink(missing_ok=True)
    return renders.folder


def _make(renders: RenderSet) -> dict[str, Any]:
    for split in SPLITS:
        _render_split(renders, split)
    log.info("%s holds %d training and %d validation renders", renders.folder, renders.images, renders.validation)
    return {}


def _part(renders: RenderSet, split: str, shard: int) -> Path:
    return renders.folder / f"part_{split}_{shard:06d}.npy"


def _render_shard(renders: RenderSet, split: str, shard: int) -> int:
    indices = range(shard * _SHARD, min((shard + 1) * _SHARD, renders.count(split)))
    images = render([renders.scene(split, index) for index in indices], renders.size).image.numpy()
    with written_whole(_part(renders, split, shard)) as temporary, temporary.open("wb") as file:
        np.save(file, images)
    return len(images)


def _render_split(renders: RenderSet, split: str) -> None:
    count = renders.count(split)
    shards = range(-(-count // _SHARD))
    missing = [shard for shard in shards if not _part(renders, split, shard).exists()]
    make = partial(_render_shard, renders, split)
    make_missing(make, missing, count, _SHARD, renders.workers, f"{split} renders", "renders.workers")
    with written_whole(renders.folder / f"{split}.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([np.load(_part(renders, split, shard)) for shard in shards]))


class Renders:
    """A rendered set, read from its folder without loading it whole.

    Args:
        folder: that :func:`ensure_renders` filled.
        seed: of the order of training.
        rank: this process's number.
        world_size: processes that share each batch.

    Raises:
        RendersError: the folder holds no complete set.
    """

    def __init__(self, folder: Path, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        state = read_state(folder / _STATE, RendersError, f"render again with prepare, or delete {folder}")
        if not state["complete"]:
            raise RendersError(f"{folder} holds an interrupted set of renders: start its preparation again")
        self.folder, self.rank, self.world_size = folder, rank, world_size
        self.train, self.validation = (np.load(folder / f"{split}.npy", mmap_mode="r") for split in SPLITS)
        self.size = self.train.shape[1]
        self.passes = Passes(len(self.train), seed)

    def digests(self) -> dict[str, str]:
        """Return number and digest of the images, some of which are read, by split."""
        names = {"training set": self.train, "validation set": self.validation}
        rows = {name: np.unique(np.linspace(0, len(found) - 1, SAMPLED).astype(int)) for name, found in names.items()}
        return {
            name: rows_digest((found[row].tobytes() for row in rows[name]), len(found)) for name, found in names.items()
        }

    def batch(self, first: int, count: int) -> Tensor:
        """Return this rank's part (count / ranks, 3, S, S) uint8 of a global batch of training images.

        ``first`` images were seen before, and each pass over them has its own order; ``count`` is a multiple of the
        ranks.
        """
        share = count // self.world_size
        rows = self.passes.rows(first + self.rank * share, share)
        return torch.from_numpy(self.train[rows]).permute(0, 3, 1, 2)

    def validation_batches(self, size: int, limit: int | None = None) -> Iterator[Tensor]:
        """Yield the validation images in order, (n, 3, S, S) uint8, at most ``limit`` batches."""
        starts = range(0, len(self.validation), size)
        for start in list(starts)[:limit]:
            yield torch.from_numpy(np.array(self.validation[start : start + size])).permute(0, 3, 1, 2)
