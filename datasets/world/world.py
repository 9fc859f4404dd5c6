"""What a world is made of: the settings of a build, checked, and the seeds that follow from them."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from datasets.world.captions import Style
from datasets.world.export import SPLITS
from datasets.world.files import AudioFormat, ImageFormat
from engine.errors import UserError

LayoutName = Literal["places", "gan_clevr", "birds", "iclevr"]

_NOT_CONTENT = ("folder", "workers")


class WorldError(UserError):
    """A world cannot be built as asked: wrong settings, or something else in its folder."""


@dataclass(frozen=True)
class World:
    """The settings of an embedded world; the same ones give the same bytes, whatever the number of workers.

    Args:
        folder: Where it is written; each layout has a sub-folder of its name.
        scenes: How many, all splits together.
        seed: Of the scenes, captions and voices.
        size: Height and width of the pictures, pixels. i-CLEVR's are 128 always, as published.
        layouts: Which published layouts to write.
        captions_per_scene: Spoken captions of each scene, 1-10; GAN-CLEVR holds the first.
        caption_style: What captions tell: full is every object, short one or two, mixed is both and counts.
        splits: Shares of train, val and test; scenes are in one split only.
        min_objects: Fewest objects of a scene.
        max_objects: Most objects of a scene.
        centred: Put the first object of each scene at the centre, as i-CLEVR does.
        speakers: How many voices there are.
        audio_format: Of the Places layout; GAN-CLEVR's is wav always.
        image_format: Of the Places layout; GAN-CLEVR's and the birds' are jpg always.
        workers: Processes; 0 is one for each core.

    Raises:
        WorldError: A value is out of range.
    """

    folder: Path
    scenes: int
    seed: int = 0
    size: int = 128
    layouts: tuple[LayoutName, ...] = ("places",)
    captions_per_scene: int = 1
    caption_style: Style = "mixed"
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1)
    min_objects: int = 1
    max_objects: int = 5
    centred: bool = False
    speakers: int = 200
    audio_format: AudioFormat = "wav"
    image_format: ImageFormat = "jpg"
    workers: int = 0

    def __post_init__(self) -> None:
        checks = (
            (1 <= self.scenes < 10**6, f"scenes is {self.scenes}; expected 1 to 999999"),
            (self.seed >= 0, f"seed is {self.seed}; expected 0 or more"),
            (16 <= self.size <= 2048, f"size is {self.size}; expected 16 to 2048 pixels"),
            (len(self.layouts) > 0, "layouts is empty; name at least one of places, gan_clevr, birds, iclevr"),
            (1 <= self.captions_per_scene <= 10, f"captions_per_scene is {self.captions_per_scene}; expected 1 to 10"),
            (
                min(self.splits) >= 0 and abs(sum(self.splits) - 1) < 1e-6,
                f"splits is {self.splits}; expected three shares of train, val and test that add up to 1",
            ),
            (
                1 <= self.min_objects <= self.max_objects <= 5,
                f"min_objects is {self.min_objects} and max_objects {self.max_objects}; expected 1 <= min <= max <= 5",
            ),
            (self.speakers >= 1, f"speakers is {self.speakers}; expected 1 or more"),
            (
                self.workers >= 0,
                f"workers is {self.workers}; expected 0 (one for each core) or a number",
            ),
        )
        faults = [message for passed, message in checks if not passed]
        if faults:
            raise WorldError("The world cannot be built: " + "; ".join(faults) + ".")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides what is in the files, as plain JSON."""
        values = {name: value for name, value in asdict(self).items() if name not in _NOT_CONTENT}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def draw(self, purpose: str, index: int) -> int:
        """Derive a seed of 48 bits for one use of one scene; independent of every other.

        Args:
            purpose: What it is for.
            index: The scene.

        Returns:
            0 <= seed < 2**48.
        """
        return int.from_bytes(hashlib.sha256(f"{self.seed} {purpose} {index}".encode()).digest()[:6], "big")

    def assign_splits(self) -> list[str]:
        """Deal the scenes out to the splits, by chance but in the exact shares.

        Returns:
            The split of each scene, by index.
        """
        order = sorted(range(self.scenes), key=lambda index: self.draw("split", index))
        val = round(self.scenes * self.splits[1])
        test = min(round(self.scenes * self.splits[2]), self.scenes - val)
        result = [SPLITS[0]] * self.scenes
        for place, index in enumerate(order[: val + test]):
            result[index] = SPLITS[1] if place < val else SPLITS[2]
        return result
