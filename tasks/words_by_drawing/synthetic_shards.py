"""Make one shard of a synthetic set: a few dozen latents generated, described, spoken and written.

A shard depends on the settings and its own number only, and always generates the same images together: vector code may
round differently at another index of a batch, so the batches must not depend on the number of processes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from common import distributed
from common.files import write_whole
from config import Deferred, Problem, check_values
from config.limits import Chance, Count, Seed, Workers
from datasets.media_files import encode_audio, encode_image, write_media
from datasets.world.export.records import SPLITS
from datasets.world.language.captions import Style, captions
from datasets.world.scene.objects import SceneError
from datasets.world.scene.seen import seen_scene
from datasets.world.speech.synthesise import SAMPLE_RATE, Synthesiser
from datasets.world.speech.voices import voice
from gan.images import to_uint8
from gan.latents import PUBLISHED_SEED, latent_dim_of, latents
from models.segmenter.labels import Segmenter, ready_segmenter
from models.segmenter.network import AttributeSegmenter
from models.segmenter.objects import SeenObject, describe, least_confidence, seen_objects

SHARD = 32
WORK = ".work"
GeneratorNode = Annotated[Callable[..., nn.Module], Deferred()]
SegmenterNode = Annotated[Callable[..., Segmenter], Deferred()]
_NOT_CONTENT = ("folder", "workers")
_WRITTEN = {"candidates": "pictures", "least_confidence": "least_sureness"}  # as sets that are there already hold them


@dataclass(frozen=True)
class SyntheticSet:
    """The settings of a set of spoken captions of generated images.

    Attributes:
        folder: folder of the set.
        candidates: latents that are looked at, from row 0 on; some of them are left out.
        seed: of captions and voices; the images follow from the latents alone.
        caption_style: complete names all attributes and the position of every object, full some of every object,
            short one or two objects, mixed is the last two and counts.
        splits: shares of train, val and test.
        speakers: number of voices.
        least_confidence: images in which the segmenter's confidence in any attribute is below are left out; None for
            taking all.
        max_objects: images with more objects are left out.
        cut: whether images with an object at their border are taken.
        images: whether images are written too (training generates them itself).
        latent_seed: of the table of latents, 1 as published.
        workers: processes; 0 is one for each core.
    """

    folder: Path
    candidates: Count
    seed: Seed = 0
    caption_style: Style = "full"
    splits: tuple[Chance, Chance, Chance] = (0.8, 0.1, 0.1)
    speakers: Count = 20
    least_confidence: Chance | None = 0.6
    max_objects: Annotated[int, Field(ge=1, le=10)] = 5
    cut: bool = True
    images: bool = False
    latent_seed: Seed = PUBLISHED_SEED
    workers: Workers = 0

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(splits: tuple[float, float, float]) -> Iterator[Problem]:
        """Yield the error of shares that do not add up to 1."""
        if abs(sum(splits) - 1) > 1e-6:
            yield "splits", f"found {tuple(splits)}, expected three shares that add up to 1"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides what is in the files, besides the networks."""
        return {_WRITTEN.get(name, name): value for name, value in asdict(self).items() if name not in _NOT_CONTENT}

    def draw(self, purpose: str, index: int) -> int:
        """Derive a seed of 48 bits, 0 to 2^48 - 1, for one use of one image; another ``purpose`` gives another seed."""
        return int.from_bytes(hashlib.sha256(f"{self.seed} {purpose} {index}".encode()).digest()[:6], "big")

    def assign_splits(self, names: list[int]) -> dict[int, str]:
        """Deal ids out to the splits, by chance but in the exact shares; the split of each id is returned."""
        order = sorted(names, key=lambda name: self.draw("split", name))
        val = round(len(names) * self.splits[1])
        test = min(round(len(names) * self.splits[2]), len(names) - val)
        dealt = [SPLITS[1]] * val + [SPLITS[2]] * test
        return dict(zip(order, [*dealt, *[SPLITS[0]] * (len(names) - len(dealt))], strict=True))


def shard_path(settings: SyntheticSet, shard: int) -> Path:
    """Return the file of a shard's records; it is there only when all its sounds are."""
    return settings.folder / WORK / f"{shard:06d}.json"


class _Tools:
    """Networks and latents of this process, made once."""

    made: "_Tools | None" = None

    def __init__(self, key: str, settings: SyntheticSet, generator: Any, segmenter: Any) -> None:
        self.key = key
        self.device = distributed.pick_device()
        self.generator = generator().eval().requires_grad_(False).to(self.device)
        self.segmenter = ready_segmenter(segmenter(), self.device)
        self.latents = latents(settings.candidates, latent_dim_of(self.generator), settings.latent_seed)

    @classmethod
    def get(cls, settings: SyntheticSet, generator: Any, segmenter: Any) -> "_Tools":
        key = f"{settings} {generator} {segmenter}"
        if cls.made is None or cls.made.key != key:
            cls.made = cls(key, settings, generator, segmenter)
        return cls.made

    @torch.no_grad()
    def generate(self, ids: range) -> tuple[Tensor, list[list[SeenObject]]]:
        """Generate images (B, 3, R, R) and say what is in them."""
        images = self.generator(self.latents[ids.start : ids.stop].to(self.device))
        if isinstance(self.segmenter, AttributeSegmenter):
            return images, describe(self.segmenter, images)
        return images, [seen_objects(labels.float()) for labels in self.segmenter.segment(images)]


def make_shard(settings: SyntheticSet, generator: GeneratorNode, segmenter: SegmenterNode, shard: int) -> int:
    """Make the captions of one shard (numbered from 0), write their files, return how many images it looked at."""
    ids = range(shard * SHARD, min((shard + 1) * SHARD, settings.candidates))
    tools = _Tools.get(settings, generator, segmenter)
    images, seen = tools.generate(ids)
    records = []
    for slot, name in enumerate(ids):
        record: dict[str, Any] = {"id": name}
        reason = why_not(settings, seen[slot])
        if reason is None:
            try:
                text = captions(seen_scene(seen[slot]), 1, settings.draw("caption", name), settings.caption_style)[0]
                record |= _speak(settings, name, text, seen[slot])
            except SceneError as error:
                reason = f"no caption fits: {error}"
        if reason is not None:
            records.append({"id": name, "rejected": reason})
            continue
        if settings.images:
            image = encode_image(to_uint8(images[slot]).numpy(), "jpg")
            write_media(settings.folder / "images" / f"{name}.jpg", image)
        records.append(record)
    write_whole(shard_path(settings, shard), json.dumps(records, ensure_ascii=False).encode())
    return len(records)


def why_not(settings: SyntheticSet, seen: list[SeenObject]) -> str | None:
    """Return why an image is left out; None when it is taken."""
    if not seen:
        return "empty: nothing was seen"
    if len(seen) > settings.max_objects:
        return f"too full: {len(seen)} objects"
    if not settings.cut and any(item.cut for item in seen):
        return "cut off: an object touches the border"
    sure = least_confidence(seen)
    if settings.least_confidence is not None and sure < settings.least_confidence:
        return f"unsure: {sure:.2f}"
    return None


def _speak(settings: SyntheticSet, name: int, text: str, seen: list[SeenObject]) -> dict[str, Any]:
    """Speak a caption, write sound and text, and return what is known of it."""
    speaker = settings.draw("speaker", name) % settings.speakers
    who = voice(settings.draw("voice", speaker))
    utterance = Synthesiser().speak(text, who)
    write_media(settings.folder / "audio" / f"{name}.wav", encode_audio(utterance.samples, SAMPLE_RATE, "wav"))
    write_media(settings.folder / "text" / f"{name}.txt", text.encode())
    objects = [
        {**item.attributes, "x": round(item.x, 4), "y": round(item.y, 4), "sureness": round(item.least_confidence, 4)}
        for item in seen
    ]
    return {
        "speaker": who.speaker,
        "text": text,
        "samples": len(utterance.samples),
        "words": utterance.words,
        "objects": objects,
    }
