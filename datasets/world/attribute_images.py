"""Renders of the world with their attribute maps, to train and to judge segmenters on.

Images are rendered when they are first asked for and stay in memory: 16 MB a thousand at 64 pixels. Shape letters: B
images, H = W pixels high and wide; attributes in the order size, material, shape, colour, ground.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from config.limits import BatchSize, Count, Seed, Weight
from datasets.world.render.artefacts import like_generated
from datasets.world.render.ray_cast import render
from datasets.world.scene.attributes import attribute_maps
from datasets.world.scene.near import near_scene
from datasets.world.scene.objects import Scene, SceneError
from datasets.world.scene.sample import sample_scene

View = Literal["near", "far"]
SCENES: dict[View, Callable[[int, int, int], Scene]] = {"near": near_scene, "far": sample_scene}
ATTRIBUTES = ("size", "material", "shape", "colour", "foreground")
CHUNK = 256  # scenes that are rendered together


class LabelledImages(NamedTuple):
    """Images and the labels of each pixel."""

    images: Tensor  # (B, 3, H, W) float32 in [-1, 1]
    numbers: Tensor  # (B, 5, H, W) int64 as of `models.segmenter.labels.attribute_labels`; 0 is background

    def to(self, device: torch.device) -> "LabelledImages":
        """Return both on a device."""
        return LabelledImages(*(part.to(device, non_blocking=True) for part in self))


class AttributeImages:
    """Random scenes with consecutive seeds, near (scene/near.py) or far (scene/sample.py); ``size`` is in pixels.

    Raises SceneError where a number is impossible.
    """

    def __init__(
        self, scenes: int, first_seed: int, size: int, view: View = "far", min_objects: int = 1, max_objects: int = 3
    ) -> None:
        if scenes < 1 or size < 16 or first_seed < 0:
            raise SceneError(f"{scenes} scenes of {size} pixels from seed {first_seed}; expected at least 1, 16 and 0")
        self._scene = SCENES[view]
        self._scene(first_seed, min_objects, max_objects)  # impossible numbers of objects are reported at once
        self.first_seed, self.size = first_seed, size
        self.objects = min_objects, max_objects
        self.images = torch.zeros(scenes, 3, size, size, dtype=torch.uint8)
        self.numbers = torch.zeros(scenes, len(ATTRIBUTES), size, size, dtype=torch.uint8)
        self.rendered = torch.zeros(scenes, dtype=torch.bool)

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Tensor) -> LabelledImages:
        """Return the images of ``rows`` (B,) int64 and their labels, on the CPU."""
        missing = rows[~self.rendered[rows]].unique()
        for start in range(0, len(missing), CHUNK):
            self._render(missing[start : start + CHUNK])
        return LabelledImages(self.images[rows].float() / 127.5 - 1, self.numbers[rows].long())

    def _render(self, rows: Tensor) -> None:
        scenes = [self._scene(self.first_seed + int(row), *self.objects) for row in rows]
        images, instances = render(scenes, self.size)
        maps = attribute_maps(scenes, instances)
        self.images[rows] = images.permute(0, 3, 1, 2)
        self.numbers[rows] = torch.stack([getattr(maps, name) for name in ATTRIBUTES], 1).to(torch.uint8)
        self.rendered[rows] = True


class SegmentationData:
    """Training, validation and test renders of the same kind of scene, no scene twice.

    Args:
        batch_size: Of the global batch, all ranks together.
        size: Height and width in pixels.
        train_scenes: Number of training scenes.
        validation_scenes: Number of validation scenes.
        test_scenes: Number of scenes that the report is about.
        view: Distance of the camera; see `AttributeImages`.
        min_objects: Smallest number of objects.
        max_objects: Largest number of objects.
        first_seed: Of the first scene; the next sets use the seeds after it.
        artefacts: Strength of artefacts of imperfect generators in training images, 0 (none) to 1.
        seed: Of order and artefacts.
        rank: Of this process.
        world_size: Number of processes.
        pin_memory: Copy batches to page-locked memory, from which GPUs copy faster.

    Raises:
        SceneError: A number is impossible.
    """

    def __init__(
        self,
        batch_size: BatchSize,
        size: Annotated[int, Field(ge=16, le=2048)],
        train_scenes: Count,
        validation_scenes: Count,
        test_scenes: Count,
        view: View = "far",
        min_objects: Count = 1,
        max_objects: Count = 3,
        first_seed: Seed = 0,
        artefacts: Weight = 1.0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        if batch_size < world_size or batch_size % world_size or train_scenes < batch_size:
            raise SceneError(
                f"batch_size={batch_size} with {train_scenes} training scenes and {world_size} processes; expected a "
                "multiple of the number of processes, not above the number of scenes"
            )
        if not 0 <= artefacts <= 1:
            raise SceneError(f"artefacts={artefacts}; expected a number from 0 to 1")
        self.batch_size, self.artefacts, self.seed = batch_size, artefacts, seed
        self.rank, self.world_size, self.pin_memory = rank, world_size, pin_memory
        seeds = [first_seed, first_seed + train_scenes, first_seed + train_scenes + validation_scenes]
        counts = (train_scenes, validation_scenes, test_scenes)
        self.train, self.validation, self.test = (
            AttributeImages(count, start, size, view, min_objects, max_objects)
            for count, start in zip(counts, seeds, strict=True)
        )
        self.steps_per_epoch = train_scenes // batch_size

    def batches(self, epoch: int, start: int = 0) -> Iterator[LabelledImages]:
        """Yield this rank's training batches; order and artefacts are a function of (seed, epoch, position).

        Epochs count from 0; ``start`` is the position of the first batch.
        """
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(self.seed * 100003 + epoch))
        share = self.batch_size // self.world_size
        for position in range(start, self.steps_per_epoch):
            rows = order[position * self.batch_size :][: self.batch_size]
            draws = torch.Generator().manual_seed((self.seed * 100003 + epoch) * 1000003 + position)
            batch = self.train.take(rows)
            if self.artefacts:
                batch = LabelledImages(*like_generated(*batch, draws, self.artefacts))
            batch = LabelledImages(*(part[self.rank * share :][:share] for part in batch))
            yield LabelledImages(*(part.pin_memory() for part in batch)) if self.pin_memory else batch

    def evaluation_batches(self, images: AttributeImages, limit: int | None = None) -> Iterator[LabelledImages]:
        """Yield this rank's batches of a set in order, or of its first ``limit`` batches; every image once."""
        rows = torch.arange(len(images))[: None if limit is None else limit * self.batch_size]
        for part in rows[self.rank :: self.world_size].split(self.batch_size):
            yield images.take(part)
