"""The settings of a world's build, checked, and the seeds that follow from them."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from common.errors import UserError
from config import Problem, check_values
from config.limits import Count, Seed, Workers
from datasets.media_files import AudioFormat, ImageFormat
from datasets.world.export.records import SPLITS
from datasets.world.language.captions import Style
from datasets.world.speech.voices import Voice, voice

LayoutName = Literal["places", "gan_clevr", "birds", "iclevr"]

_NOT_CONTENT = ("folder", "workers")


class WorldError(UserError):
    """A world cannot be built as asked: something else is in its folder."""


def _some(layouts: tuple[LayoutName, ...]) -> tuple[LayoutName, ...]:
    if not layouts:
        raise ValueError("at least one of places, gan_clevr, birds, iclevr")
    return layouts


def _shares(splits: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(splits) < 0 or abs(sum(splits) - 1) > 1e-6:
        raise ValueError("three shares of train, val and test that add up to 1")
    return splits


def _rising(ratios: tuple[float, float]) -> tuple[float, float]:
    if not -20 <= ratios[0] <= ratios[1] <= 100:
        raise ValueError("two ratios in dB between -20 and 100, the lower one first")
    return ratios


@dataclass(frozen=True)
class World:
    """The settings of an embedded world; the same ones give the same bytes, whatever the number of workers.

    Args:
        folder: Folder of the world; each layout has a sub-folder of its name.
        scenes: Number of scenes, all splits together.
        seed: Of the scenes, captions and voices.
        size: Height and width of the images, pixels. i-CLEVR's are 128 always, as published.
        layouts: Published layouts that are written.
        captions_per_scene: Spoken captions of each scene, 1-10; GAN-CLEVR holds the first.
        caption_style: Content of captions: complete is all of every object, attributes the same without positions,
            objects is every object with colour and shape at least and no position, full is every object, short one or
            two, mixed is the last two and counts.
        splits: Shares of train, val and test; scenes are in one split only.
        min_objects: Fewest objects of a scene.
        max_objects: Most objects of a scene.
        centred: Put the first object of each scene at the centre, as i-CLEVR does.
        speakers: Number of voices.
        speech_variation: Largest difference of an utterance from its voice's usual pitch, liveliness and rate, as a
            share of their range and of the rate, uniform in both directions. None: a voice always speaks alike.
        speech_noise: Lowest and highest signal-to-noise ratio of an utterance, dB: pink noise, as of a room, is added.
            None: silent rooms.
        audio_format: Of the Places layout; GAN-CLEVR's is wav always.
        image_format: Of the Places layout; GAN-CLEVR's and the birds' are jpg always.
        workers: Processes; 0 is one for each core.

    Raises:
        config.RefusedValues: Values are out of range, all of them named.
    """

    folder: Path
    scenes: Annotated[int, Field(ge=1, lt=10**6)]
    seed: Seed = 0
    size: Annotated[int, Field(ge=16, le=2048)] = 128
    layouts: Annotated[tuple[LayoutName, ...], AfterValidator(_some)] = ("places",)
    captions_per_scene: Annotated[int, Field(ge=1, le=10)] = 1
    caption_style: Style = "mixed"
    splits: Annotated[tuple[float, float, float], AfterValidator(_shares)] = (0.8, 0.1, 0.1)
    min_objects: Annotated[int, Field(ge=1, le=5)] = 1
    max_objects: Annotated[int, Field(ge=1, le=5)] = 5
    centred: bool = False
    speakers: Count = 200
    speech_variation: Annotated[float, Field(gt=0, le=0.5)] | None = None
    speech_noise: Annotated[tuple[float, float], AfterValidator(_rising)] | None = None
    audio_format: AudioFormat = "wav"
    image_format: ImageFormat = "jpg"
    workers: Workers = 0

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(min_objects: int, max_objects: int) -> Iterator[Problem]:
        """Refuse a range of objects that holds no number."""
        if min_objects > max_objects:
            yield "min_objects", f"found {min_objects}, expected at most max_objects, {max_objects}"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the content of the files, as plain JSON."""
        values = {name: value for name, value in asdict(self).items() if name not in _NOT_CONTENT}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def draw(self, purpose: str, index: int) -> int:
        """Derive a seed of 48 bits for one use (``purpose``) of one scene; independent of every other."""
        return int.from_bytes(hashlib.sha256(f"{self.seed} {purpose} {index}".encode()).digest()[:6], "big")

    def voice(self, speaker: int) -> Voice:
        """Return the voice of one of the ``speakers``, counted from 0."""
        return voice(self.draw("voice", speaker))

    def assign_splits(self) -> list[str]:
        """Return the split of each scene by index, dealt by chance but in the exact shares."""
        order = sorted(range(self.scenes), key=lambda index: self.draw("split", index))
        val = round(self.scenes * self.splits[1])
        test = min(round(self.scenes * self.splits[2]), self.scenes - val)
        result = [SPLITS[0]] * self.scenes
        for slot, index in enumerate(order[: val + test]):
            result[index] = SPLITS[1] if slot < val else SPLITS[2]
        return result
