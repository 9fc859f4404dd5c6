"""Near scenes of the embedded world with written captions, in the layout of own images (datasets/text_image).

train.json, validation.json, test.json   images, captions, classes; no object of a pair that is held out
composition.json                         the same of scenes of which each has such an object
train_noise20.json ...                   the same images; 20 % of the words are distractors
images/<split>/000/000000.png            S x S pixels
scenes/<split>.json                      the objects of each image: attributes, box and visible pixels
vocabulary.json                          words of the training captions and their distractors, in alphabetical order
world.json                               the settings, and whether all of it is there

python run.py -f world/captioned.yaml
"""

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from common.errors import UserError
from common.files import write_whole, written_whole
from common.text_files import read_json
from config import Problem, check_values
from config.limits import Chance, Count, CountOrZero, Seed, Workers
from datasets.media_files import ImageFormat, encode_image, write_media
from datasets.sharded_build import build_once, is_complete, make_missing, read_state
from datasets.text_image.vocabulary import Vocabulary, words, write_vocabulary_file
from datasets.world.export.truth import describe
from datasets.world.language.captions import Style, captions
from datasets.world.language.distractors import MOST_SHARE, with_distractors
from datasets.world.render.ray_cast import render
from datasets.world.scene.near import MOST, near_scene
from datasets.world.scene.objects import COLOURS, HALF_VIEW, SHAPES, Scene

log = logging.getLogger(__name__)

FORMAT = 1
SPLITS = ("train", "validation", "test", "composition")
COMPOSITION = "composition"
SHARD = 64
SMALLEST_VIEW = 16  # pixels
MOST_HELD_OUT = len(COLOURS) * len(SHAPES) // 2  # pairs: scenes without them must stay easy to find
_STATE = "world.json"
_WORK = ".work"
_NOUNS = ("no captioned world", "another captioned world", "world.folder")
_DRY_IMAGES = 64
_TRUTH = ("colour", "shape", "size", "material", "box", "pixels")
Record = dict[str, Any]


class CaptionedWorldError(UserError):
    """A captioned world cannot be built or read: something else, or not all of it, is in its folder."""


def _pairs(held_out: tuple[str, ...]) -> tuple[str, ...]:
    known = {f"{colour} {shape}" for colour in COLOURS for shape in SHAPES}
    if len(set(held_out)) < len(held_out) or len(held_out) > MOST_HELD_OUT or not known >= set(held_out):
        raise ValueError(
            f"at most {MOST_HELD_OUT} different pairs such as red cube, of {', '.join(COLOURS)} and {', '.join(SHAPES)}"
        )
    return held_out


def _shares(shares: tuple[float, ...]) -> tuple[float, ...]:
    percents = [round(share * 100) for share in shares]
    whole = all(abs(share * 100 - percent) < 1e-6 for share, percent in zip(shares, percents, strict=True))
    if not whole or percents != sorted(set(percents)) or not all(1 <= one <= MOST_SHARE * 100 for one in percents):
        raise ValueError(f"rising shares of whole percents from 0.01 to {MOST_SHARE}, such as 0.2, 0.4")
    return shares


@dataclass(frozen=True)
class CaptionedWorld:
    """The settings of a captioned world; the same ones give the same bytes, whatever the number of workers.

    Args:
        folder: Folder of the world.
        train: Number of training images.
        validation: Number of images that choose the best weights.
        test: Number of images that results are about.
        composition: Number of images that show a pair of ``held_out``; 0 without such pairs.
        size: Height and width of the images, pixels.
        border: Pixels on each side beyond the view of scene/near.py, so that a square of size - 2 border cut out of the
            image shows nearly all of every object, and the middle one exactly that view.
        seed: Of scenes, captions and distractors.
        min_objects: Fewest objects of a scene.
        max_objects: Most objects of a scene, at most 3.
        captions_per_image: Captions of each image, 1-10.
        caption_style: Content of captions: attributes is all of every object but its position, complete the same with
            positions, objects colour and shape of every object at least and no position, full the same with positions,
            short one or two objects, mixed is the last two and counts.
        held_out: Pairs of colour and shape, such as red cube, that no image but those of ``composition`` shows.
        distractor_shares: Shares of distractors for each of which every split is written once more, as
            ``train_noise20`` for 0.2.
        hard_share: Probability of a distracting sentence to name colours, shapes, sizes or materials of other things.
        image_format: png is lossless; jpg of quality 90.
        workers: Processes; 0 is one for each core.

    Raises:
        config.RefusedValues: Values are out of range, all of them named.
    """

    folder: Path
    train: Annotated[int, Field(gt=0, lt=10**6)]
    validation: Annotated[int, Field(gt=0, lt=10**6)] = 1000
    test: Annotated[int, Field(gt=0, lt=10**6)] = 1000
    composition: Annotated[int, Field(ge=0, lt=10**6)] = 0
    size: Annotated[int, Field(ge=SMALLEST_VIEW, le=2048)] = 76
    border: CountOrZero = 6
    seed: Seed = 0
    min_objects: Annotated[int, Field(ge=1, le=MOST)] = 1
    max_objects: Annotated[int, Field(ge=1, le=MOST)] = 2
    captions_per_image: Annotated[Count, Field(le=10)] = 5
    caption_style: Style = "attributes"
    held_out: Annotated[tuple[str, ...], AfterValidator(_pairs)] = ()
    distractor_shares: Annotated[tuple[float, ...], AfterValidator(_shares)] = ()
    hard_share: Chance = 0.5
    image_format: ImageFormat = "png"
    workers: Workers = 0

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(
        min_objects: int, max_objects: int, size: int, border: int, composition: int, held_out: tuple[str, ...]
    ) -> Iterator[Problem]:
        """Refuse a range without numbers, a border without an image inside, and a composition of nothing."""
        if min_objects > max_objects:
            yield "min_objects", f"found {min_objects}, expected at most max_objects, {max_objects}"
        if size - 2 * border < SMALLEST_VIEW:
            least = size - SMALLEST_VIEW
            yield "border", f"found {border}, expected at most {least // 2}, so that {SMALLEST_VIEW} pixels lie inside"
        if bool(composition) != bool(held_out):
            yield "composition", f"found {composition} with {len(held_out)} pairs held_out; give both or none of them"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the content of the files, as plain JSON."""
        values = {name: value for name, value in asdict(self).items() if name not in ("folder", "workers")}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def count(self, split: str) -> int:
        """Count the images of a split."""
        return getattr(self, split)

    def items(self, first: int, end: int) -> list[tuple[str, int]]:
        """Return split and index of the images from ``first`` to before ``end``, counted over all splits."""
        found = []
        for split in SPLITS:
            count = self.count(split)
            found += [(split, index) for index in range(max(first, 0), min(end, count))]
            first, end = first - count, end - count
        return found

    def draw(self, purpose: str, split: str, index: int) -> int:
        """Derive a seed of 48 bits for one use (``purpose``) of one image; independent of every other."""
        return int.from_bytes(hashlib.sha256(f"{self.seed} {purpose} {split} {index}".encode()).digest()[:6], "big")

    def scene(self, split: str, index: int) -> Scene:
        """Return the scene of an image: of scenes with as many objects, the first that fits its split."""
        numbers = self.max_objects - self.min_objects + 1
        count = self.min_objects + self.draw("objects", split, index) % numbers
        attempt = 0
        while True:
            scene = near_scene(self.draw(f"scene {attempt}", split, index), count, count)
            if any(kind in self.held_out for kind in kinds_of(scene)) == (split == COMPOSITION):
                return scene
            attempt += 1


def kinds_of(scene: Scene) -> list[str]:
    """Return the different pairs of colour and shape of a scene, such as "red cube", in alphabetical order."""
    return sorted({f"{item.colour} {item.shape}" for item in scene.objects})


def noise_split(split: str, share: float) -> str:
    """Name a split whose captions have a share of distractors, such as ``train_noise20``; 0 is the split itself."""
    return f"{split}_noise{round(share * 100):02d}" if share else split


def build(world: CaptionedWorld) -> None:
    """Build a captioned world and log its content.

    Args:
        world: The settings of the world, with its folder.
    """
    ensure_captioned(world)
    state = read_state(world.folder / _STATE, CaptionedWorldError, f"delete {world.folder} and start again")
    splits = ", ".join(f"{world.count(split)} {split}" for split in SPLITS if world.count(split))
    log.info("%s holds %s images; their captions have %d words", world.folder, splits, state["words"])


def ensure_captioned(world: CaptionedWorld, dry_folder: Path | None = None) -> Path:
    """Build a captioned world unless it is there already; one that was interrupted goes on where it was.

    Args:
        world: The settings of the world, with its folder.
        dry_folder: Build a few images there instead, for a dry run.

    Returns:
        The world's folder.

    Raises:
        CaptionedWorldError: The folder holds something else.
        UserError: A worker process died.
    """
    if dry_folder is not None:
        small = {split: min(world.count(split), _DRY_IMAGES) for split in SPLITS}
        world = replace(world, folder=dry_folder, workers=1, **small)
    asked = {"format": FORMAT, **world.settings}
    state = {"format": FORMAT, "settings": world.settings}
    path = world.folder / _STATE
    build_once(path, state, lambda: is_complete(path, asked, CaptionedWorldError, _NOUNS), lambda: _make(world))
    shutil.rmtree(world.folder / _WORK, ignore_errors=True)
    return world.folder


def read_scenes(folder: Path, split: str) -> dict[str, list[Record]]:
    """Read the objects of each image of a split, by the image's path below the folder.

    An object has ``colour``, ``shape``, ``size``, ``material``, ``box`` (x, y, width, height) and ``pixels`` (how many
    show it). Raises CaptionedWorldError where the folder is not a complete captioned world, or has no such split.
    """
    path = folder / "scenes" / f"{split}.json"
    state = read_state(folder / _STATE, CaptionedWorldError, "build the world with world/captioned.yaml")
    if not state["complete"] or not path.is_file():
        raise CaptionedWorldError(f"{folder} holds no scenes of a split {split}, or not all; build it to its end")
    return {row["image"]: row["objects"] for row in read_json(path, "build the world again")}


def _make(world: CaptionedWorld) -> dict[str, Any]:
    """Make the shards that are missing and the lists; return the number of words."""
    total = sum(map(world.count, SPLITS))
    missing = [shard for shard in range(-(-total // SHARD)) if not _part(world, shard).exists()]
    make_missing(partial(_make_shard, world), missing, total, SHARD, world.workers, "images", "world.workers")
    return {"words": _write_lists(world, total)}


def _part(world: CaptionedWorld, shard: int) -> Path:
    """Return the file that holds the records of a shard; it is there only when all its images are."""
    return world.folder / _WORK / f"{shard:06d}.json"


def _make_shard(world: CaptionedWorld, shard: int) -> int:
    """Make the images of one shard, always the same ones; return how many it holds."""
    items = world.items(shard * SHARD, (shard + 1) * SHARD)
    scenes = [world.scene(*item) for item in items]
    rendering = render(scenes, world.size, half_view=HALF_VIEW * world.size / (world.size - 2 * world.border))
    images, instances = rendering.image.numpy(), rendering.instances.numpy()
    records = []
    for (split, index), scene, image, instance in zip(items, scenes, images, instances, strict=True):
        name = f"images/{split}/{index // 1000:03d}/{index:06d}.{world.image_format}"
        write_media(world.folder / name, encode_image(image, world.image_format))
        records.append(_record(world, split, index, scene, instance) | {"split": split, "image": name})
    write_whole(_part(world, shard), json.dumps(records).encode())
    return len(records)


def _record(world: CaptionedWorld, split: str, index: int, scene: Scene, instances: np.ndarray) -> Record:
    """Return captions by share of distractors, class and objects of an image."""
    texts = captions(scene, world.captions_per_image, world.draw("captions", split, index), world.caption_style)
    written = {split: texts}
    for share in world.distractor_shares:
        name = noise_split(split, share)
        seeds = (world.draw(f"distractors {share:.2f} {number}", split, index) for number in range(len(texts)))
        written[name] = [
            with_distractors(text, share, seed, world.hard_share) for text, seed in zip(texts, seeds, strict=True)
        ]
    seen = describe(scene, instances)["scene"]["objects"]
    return {
        "captions": written,
        "class": " and ".join(kinds_of(scene)),
        "objects": [{key: item[key] for key in _TRUTH} for item in seen],
    }


def _write_lists(world: CaptionedWorld, total: int) -> int:
    """Write the lists of all splits and the vocabulary; return the number of words."""
    known: set[str] = set()
    with contextlib.ExitStack() as stack:
        lists: dict[Path, Callable[[Record], None]] = {}

        def add(path: Path, row: Record) -> None:
            if path not in lists:
                lists[path] = stack.enter_context(_json_list(path))
            lists[path](row)

        for shard in range(-(-total // SHARD)):
            for record in read_json(_part(world, shard), "delete it, and it is made again"):
                image, split = record["image"], record["split"]
                for name, texts in record["captions"].items():
                    add(world.folder / f"{name}.json", {"image": image, "captions": texts, "class": record["class"]})
                    known.update(word for text in texts if split == SPLITS[0] for word in words(text))
                add(world.folder / "scenes" / f"{split}.json", {"image": image, "objects": record["objects"]})
    write_vocabulary_file(world.folder / "vocabulary.json", Vocabulary(sorted(known)))
    return len(known)


@contextlib.contextmanager
def _json_list(path: Path) -> Iterator[Callable[[Record], None]]:
    """Yield a function that adds a row to a JSON list, a line each; the file is written whole or not at all."""
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        rows = 0

        def add(row: Record) -> None:
            nonlocal rows
            file.write(",\n" if rows else "[\n")
            file.write(json.dumps(row))
            rows += 1

        yield add
        file.write("\n]\n")
