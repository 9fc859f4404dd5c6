"""Batches of images with classes, for generators that are asked for a class.

Shape letters: b images of this rank, S height and width in pixels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from config.limits import BatchSize
from datasets.class_images.build import SPLITS, STATE, ClassImagesError
from datasets.digests import rows_digest
from datasets.loading.batch_sizes import uneven_share
from datasets.loading.passes import Passes
from datasets.sharded_build import read_state

SAMPLED = 64  # images that the digest of a split reads


class ClassBatch(NamedTuple):
    """Images and their classes."""

    images: Tensor  # (b, 3, S, S) uint8
    classes: Tensor  # (b,) int64


class ClassImages:
    """A folder of images with classes, read without loading it whole.

    Args:
        folder: that datasets.class_images.folder or datasets.world.class_images filled.
        batch_size: images of the global batch, all processes together.
        mirror: images are mirrored left to right, or not, with equal chances; wrong for letters, and for the world,
            whose light comes from the left.
        seed: of the order and of mirroring; given by main.
        rank: given by main.
        world_size: given by main.
        pin_memory: given by main.

    Raises:
        ClassImagesError: the folder holds no complete set, or less training images than a batch.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: BatchSize,
        mirror: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        state = read_state(folder / STATE, ClassImagesError, f"make the images with prepare, or delete {folder}")
        if not state["complete"]:
            raise ClassImagesError(f"{folder} holds an interrupted set of images: start its preparation again")
        self.folder, self.batch_size, self.mirror = folder, batch_size, mirror
        self.seed, self.rank, self.world_size, self.pin_memory = seed, rank, world_size, pin_memory
        self.class_names: list[str] = state["settings"]["classes"]
        self.train, self.validation = (np.load(folder / f"{split}.npy", mmap_mode="r") for split in SPLITS)
        self.train_classes, self.validation_classes = (np.load(folder / f"{split}_classes.npy") for split in SPLITS)
        self.size = self.train.shape[1]
        if uneven := uneven_share(batch_size, world_size):
            raise ClassImagesError(f"data.batch_size: {uneven}")
        if len(self.train) < batch_size:
            raise ClassImagesError(
                f"{folder} holds {len(self.train)} training images; expected at least data.batch_size, {batch_size}"
            )
        self.passes = Passes(len(self.train), seed)

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    def digests(self) -> dict[str, str]:
        """Return number and digest of the images, some of which are read, and of all classes, by split."""
        found = {}
        parts = ((self.train, self.train_classes), (self.validation, self.validation_classes))
        for split, (images, classes) in zip(SPLITS, parts, strict=True):
            rows = np.unique(np.linspace(0, len(images) - 1, SAMPLED).astype(int))
            contents = [*(images[row].tobytes() for row in rows), classes.tobytes(), *self.class_names]
            found[f"{'training' if split == 'train' else split} set"] = rows_digest(contents, len(images))
        return found

    def batch(self, number: int) -> ClassBatch:
        """Return this rank's part of global training batch ``number``; every pass has its own order."""
        share = self.batch_size // self.world_size
        rows = self.passes.rows(number * self.batch_size + self.rank * share, share)
        images = self.train[rows]
        if self.mirror:
            flips = np.random.default_rng([self.seed, 1, number]).random(self.batch_size) < 0.5
            flips = flips[self.rank * share :][:share]
            images[flips] = images[flips, :, ::-1]
        return self._batch(images, self.train_classes[rows])

    def validation_batches(self, size: int, limit: int | None = None) -> Iterator[ClassBatch]:
        """Yield the validation images in order, at most ``limit`` batches of ``size``."""
        for start in list(range(0, len(self.validation), size))[:limit]:
            rows = slice(start, start + size)
            yield self._batch(np.array(self.validation[rows]), self.validation_classes[rows])

    def _batch(self, images: np.ndarray, classes: np.ndarray) -> ClassBatch:
        batch = ClassBatch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(classes))
        return ClassBatch(*(part.pin_memory() for part in batch)) if self.pin_memory else batch
