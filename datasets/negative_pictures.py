"""Negatives that are not drawn by a generator: stored beside the pictures, rendered anew, or altered.

The one-against-one test of surisdi/learning-by-drawing (``experiments.py``, test_synthetic) takes pictures that were
made before; its ``dataset.py`` also turns pictures upside down and takes their colours away.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol
from unicodedata import normalize

import numpy as np
from PIL import Image

from datasets.images import read_image
from datasets.records import SpokenCaption
from datasets.world.draws import Draws
from datasets.world.files import encode_image
from datasets.world.objects import COLOURS, MATERIALS, SHAPES, SIZES, Scene
from datasets.world.render import render
from engine.errors import UserError
from engine.text_files import read_text

CHOICES = {"colour": COLOURS, "shape": SHAPES, "material": MATERIALS, "size": SIZES}
Attribute = Literal["colour", "shape", "material", "size"]


class NegativePicture(NamedTuple):
    """A negative of a pair's picture.

    Attributes:
        label: "kind" or "kind: what changed".
        image: (R, R, 3) uint8.
    """

    label: str
    image: np.ndarray


class NegativePictures(Protocol):
    """Gives the negatives of a caption's picture."""

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativePicture]:
        """Return at least one negative.

        Args:
            record: the caption.
            image: its picture (R, R, 3) uint8.
            seed: of whatever is drawn.
        """


class StoredNegatives:
    """Files beside the pictures: ``<name>.jpg`` or ``<name>_<anything>.jpg`` (or png) for the caption <name>.

    Args:
        folder: holds them.

    Raises:
        UserError: There is no such folder, or when called: no file for a caption.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"negatives: there is no folder {folder}; give the one that holds the negative pictures")
        self.folder = folder
        self.files: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                stem = normalize("NFC", path.stem)
                for name in {stem, stem.rsplit("_", 1)[0]}:
                    self.files.setdefault(name, []).append(path)

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativePicture]:  # noqa: ARG002
        """Return the stored negatives at the picture's size."""
        found = self.files.get(normalize("NFC", record.uttid))
        if not found:
            raise UserError(f"negatives: {self.folder} has no {record.uttid}.jpg nor {record.uttid}_1.jpg; add one")
        size = (image.shape[1], image.shape[0])
        return [NegativePicture("stored", np.asarray(read_image(path).resize(size))) for path in found]


class AlteredNegatives:
    """The picture itself, altered.

    Args:
        kinds: ``upside_down`` or ``grey`` (the mean of the colours).

    Raises:
        ValueError: ``kinds`` is empty.
    """

    def __init__(self, kinds: list[Literal["upside_down", "grey"]]) -> None:
        if not kinds:
            raise ValueError("negatives.kinds is empty; expected upside_down, grey or both")
        self.kinds = kinds

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativePicture]:  # noqa: ARG002
        """Return one negative of each kind."""
        made = {
            "upside_down": lambda: image[::-1],
            "grey": lambda: np.repeat(image.mean(2, keepdims=True).round().astype(np.uint8), 3, axis=2),
        }
        return [NegativePicture(kind, np.ascontiguousarray(made[kind]())) for kind in self.kinds]


class RenderedNegatives:
    """Scenes of an embedded world rendered again with one attribute of one object changed.

    Args:
        world: the world's folder, with ``scenes.jsonl``.
        attributes: which may change; one of them is drawn for each caption.

    Raises:
        UserError: The folder holds no world, or when called: a caption is not of this world.
        ValueError: ``attributes`` is empty.
    """

    def __init__(self, world: Path, attributes: Sequence[Attribute] = ("colour", "shape", "material", "size")) -> None:
        if not attributes:
            raise ValueError("negatives.attributes is empty; expected some of colour, shape, material, size")
        self.world, self.attributes = world, list(attributes)
        path = world / "scenes.jsonl"
        if not path.is_file():
            raise UserError(f"negatives: {world} holds no scenes.jsonl; give the folder of a built world")
        self.scenes: dict[str, str] = {}
        for line in filter(None, read_text(path).split("\n")):
            record = json.loads(line)
            scene = json.dumps(_bare(record["scene"]))
            self.scenes |= dict.fromkeys((str(int(record["id"])), *(item["uttid"] for item in record["spoken"])), scene)

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativePicture]:
        """Return the scene with one attribute changed, rendered at the picture's size and coded as the pictures are."""
        text = self.scenes.get(record.uttid)
        if text is None:
            raise UserError(f"negatives: caption {record.uttid} is not of the world {self.world}; give its own world")
        scene, draws = Scene.from_json(text), Draws(seed, 1)
        index, attribute = draws.below(len(scene.objects)), draws.pick(self.attributes)
        item = scene.objects[index]
        before = getattr(item, attribute)
        after = draws.pick([value for value in CHOICES[attribute] if value != before])
        changed = (*scene.objects[:index], replace(item, **{attribute: after}), *scene.objects[index + 1 :])
        picture = render([replace(scene, objects=changed)], image.shape[0]).image[0].numpy()
        with Image.open(io.BytesIO(encode_image(picture, "jpg"))) as coded:
            return [NegativePicture(f"{attribute}: {before} to {after}", np.asarray(coded.convert("RGB")))]


def _bare(scene: dict) -> dict:
    """A record's scene without what was measured in its picture."""
    kept = ("shape", "colour", "material", "size", "x", "y", "rotation")
    return {**scene, "objects": [{name: item[name] for name in kept} for item in scene["objects"]]}
