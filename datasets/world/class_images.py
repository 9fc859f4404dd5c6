"""Renders of the embedded world with a class: what their largest object is.

Near scenes (datasets/world/scene/near.py) have one camera and one light. Fewer degrees of freedom are easier to learn:
of the objects of a scene one is large and the others are small, unless ``sizes`` is ``any``. Scene i of a split is a
function of the seed, the split and i.
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from config.limits import Count, Resolution, Seed, Workers
from datasets.class_images.build import SPLITS, ClassImagesError, Part, ensure
from datasets.world.render.ray_cast import render
from datasets.world.scene.near import MOST, near_scene
from datasets.world.scene.objects import COLOURS, SHAPES, Scene

SMALL = 64  # images of a split in a dry run
Kind = Literal["shape", "colour_shape"]
Sizes = Literal["one_large", "any"]


@dataclass(frozen=True)
class ClassWorld:
    """Settings of renders with classes.

    Attributes:
        folder: folder of the renders.
        images: training images.
        validation: images held out for measuring.
        size: height and width, pixels.
        classes: ``shape`` of the object that covers most pixels (3 classes), or ``colour_shape`` (24, as "red cube").
        sizes: ``one_large`` object and small ones, or ``any`` sizes.
        seed: of the scenes.
        min_objects: fewest objects of a scene.
        max_objects: most objects of a scene, at most 3.
        workers: processes; 0 is one for each core.

    Raises:
        ClassImagesError: the numbers of objects are impossible.
    """

    folder: Path
    images: Count
    validation: Count = 2000
    size: Resolution = 64
    classes: Kind = "colour_shape"
    sizes: Sizes = "one_large"
    seed: Seed = 0
    min_objects: Count = 1
    max_objects: Count = 2
    workers: Workers = 0

    def __post_init__(self) -> None:
        if not self.min_objects <= self.max_objects <= MOST:
            raise ClassImagesError(
                f"images: found {self.min_objects} to {self.max_objects} objects, expected min_objects up to "
                f"max_objects, at most {MOST}"
            )

    @property
    def names(self) -> list[str]:
        """Return the names of the classes in the order of their numbers."""
        return list(SHAPES) if self.classes == "shape" else [f"{c} {s}" for c in COLOURS for s in SHAPES]

    def scene(self, split: str, index: int) -> Scene:
        """Return the scene of image ``index`` of a split."""
        digest = hashlib.sha256(f"{self.seed} {split} {index}".encode()).digest()
        seed = int.from_bytes(digest[:6], "big")
        sizes = ("large", *["small"] * (MOST - 1)) if self.sizes == "one_large" else ()
        return near_scene(seed, self.min_objects, self.max_objects, sizes)

    def make(self, split: str, rows: range) -> Part:
        """Render some rows of a split and tell their classes."""
        scenes = [self.scene(split, index) for index in rows]
        rendering = render(scenes, self.size)
        found = [self._class(*pair) for pair in zip(scenes, rendering.instances.numpy(), strict=True)]
        return rendering.image.numpy(), np.array(found, dtype=np.int64)

    def _class(self, scene: Scene, instances: np.ndarray) -> int:
        counts = np.bincount(instances.ravel(), minlength=len(scene.objects) + 1)[1:]
        largest = scene.objects[int(counts.argmax())]
        shape = SHAPES.index(largest.shape)
        return shape if self.classes == "shape" else COLOURS.index(largest.colour) * len(SHAPES) + shape


def ensure_class_world(images: ClassWorld, dry_folder: Path | None = None) -> Path:
    """Render images with classes unless they are there already; a render that was interrupted goes on where it was.

    Args:
        images: the settings, with the folder.
        dry_folder: render a few images there instead, for a dry run.

    Returns:
        The folder.

    Raises:
        ClassImagesError: the folder holds something else.
    """
    if dry_folder is not None:
        few = {"images": min(images.images, SMALL), "validation": min(images.validation, SMALL)}
        images = replace(images, folder=dry_folder, workers=1, **few)
    settings: dict[str, Any] = asdict(images)
    for name in ("folder", "workers", "classes"):
        del settings[name]
    counts = dict(zip(SPLITS, (images.images, images.validation), strict=True))
    return ensure(images.folder, settings, images.names, counts, partial(ClassWorld.make, images), images.workers)
