"""Make negatives without a generator: stored beside the images, rendered anew, altered, or stitched.

The one-against-one test of surisdi/learning-by-drawing (``experiments.py``, test_synthetic) takes images that were made
before; its ``dataset.py`` also turns images upside down, takes their colours away, warps them, and stitches an object
of another image into them.
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
from pydantic import PositiveFloat, PositiveInt
from scipy import ndimage

from common.errors import UserError
from datasets.image_edits import SCALE, CloneError, clone, fill, warp
from datasets.images import read_image
from datasets.media_files import encode_image
from datasets.spoken_captions.json_rows import read_json_lines
from datasets.spoken_captions.records import SpokenCaption
from datasets.world.render.ray_cast import render
from datasets.world.scene.objects import COLOURS, MATERIALS, SHAPES, SIZES, Scene, SceneObject, project
from datasets.world.scene.random_stream import Draws

CHOICES = {"colour": COLOURS, "shape": SHAPES, "material": MATERIALS, "size": SIZES}
BUILD_AGAIN = "build the world again"
Attribute = Literal["colour", "shape", "material", "size"]
Stitchable = Literal["colour", "shape", "material"]


class NegativeImage(NamedTuple):
    """A negative of a pair's image (R, R, 3) uint8, with the label "kind" or "kind: what changed"."""

    label: str
    image: np.ndarray


class NegativeImages(Protocol):
    """Gives the negatives of a caption's image."""

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativeImage]:
        """Return at least one negative of a caption's image (R, R, 3) uint8; ``seed`` is of whatever is drawn."""


class StoredNegatives:
    """Files beside the images: ``<name>.jpg`` or ``<name>_<anything>.jpg`` (or png) for the caption <name>.

    Args:
        folder: holds them.

    Raises:
        UserError: there is no such folder, or when called: no file for a caption.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"negatives: there is no folder {folder}; give the one that holds the negative images")
        self.folder = folder
        self.files: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                stem = normalize("NFC", path.stem)
                for name in {stem, stem.rsplit("_", 1)[0]}:
                    self.files.setdefault(name, []).append(path)

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativeImage]:  # noqa: ARG002
        """Return the stored negatives at the image's size."""
        found = self.files.get(normalize("NFC", record.uttid))
        if not found:
            raise UserError(f"negatives: {self.folder} has no {record.uttid}.jpg nor {record.uttid}_1.jpg; add one")
        size = (image.shape[1], image.shape[0])
        return [NegativeImage("stored", np.asarray(read_image(path).resize(size))) for path in found]


class AlteredNegatives:
    """The image itself, altered.

    Args:
        kinds: ``upside_down``, ``grey`` (the mean of the colours) or ``warped`` (bent elastically at random).
        strength: of ``warped``, see :func:`datasets.image_edits.warp`; as published.
        sigma: of ``warped``, likewise.

    Raises:
        ValueError: ``kinds`` is empty.
    """

    def __init__(
        self,
        kinds: list[Literal["upside_down", "grey", "warped"]],
        strength: PositiveFloat = 800.0,
        sigma: PositiveFloat = 10.0,
    ) -> None:
        if not kinds:
            raise ValueError("negatives.kinds is empty; expected some of upside_down, grey, warped")
        self.kinds, self.strength, self.sigma = kinds, strength, sigma

    def _warped(self, image: np.ndarray, seed: int) -> np.ndarray:
        draws, size = Draws(seed, 2), [max(1, length // SCALE) for length in image.shape[:2]]
        count = size[0] * size[1]
        across, down = (np.array([draws.uniform(-1, 1) for _ in range(count)]).reshape(size) for _ in range(2))
        return warp(image, across, down, self.strength, self.sigma)

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativeImage]:  # noqa: ARG002
        """Return one negative of each kind."""
        made = {
            "upside_down": lambda: image[::-1],
            "grey": lambda: np.repeat(image.mean(2, keepdims=True).round().astype(np.uint8), 3, axis=2),
            "warped": lambda: self._warped(image, seed),
        }
        return [NegativeImage(kind, np.ascontiguousarray(made[kind]())) for kind in self.kinds]


class RenderedNegatives:
    """Scenes of an embedded world rendered again with one attribute of one object changed.

    Args:
        world: the world's folder, with ``scenes.jsonl``.
        attributes: which may change; one of them is drawn for each caption.

    Raises:
        UserError: the folder holds no world, or when called: a caption is not of this world.
        ValueError: ``attributes`` is empty.
    """

    def __init__(self, world: Path, attributes: Sequence[Attribute] = ("colour", "shape", "material", "size")) -> None:
        if not attributes:
            raise ValueError("negatives.attributes is empty; expected some of colour, shape, material, size")
        self.attributes, self.scenes = list(attributes), _Scenes(world)

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativeImage]:
        """Return the scene with one attribute changed, rendered at the image's size and coded as the images are."""
        scene, draws = self.scenes.of(record), Draws(seed, 1)
        index, attribute = draws.below(len(scene.objects)), draws.pick(self.attributes)
        item = scene.objects[index]
        before = getattr(item, attribute)
        after = draws.pick([value for value in CHOICES[attribute] if value != before])
        changed = (*scene.objects[:index], replace(item, **{attribute: after}), *scene.objects[index + 1 :])
        rendered_image = render([replace(scene, objects=changed)], image.shape[0]).image[0].numpy()
        return [NegativeImage(f"{attribute}: {before} to {after}", _coded(rendered_image))]


class StitchedNegatives:
    """An object of another scene of an embedded world stitched into the image, instead of one of its own.

    The object itself is filled over (its shadow stays), and the other, with what is around it, is put there without a
    seam. Published: ``get_negatives_stitching``, ``mode`` 1 for ``only`` and 2 for not.

    Args:
        world: the world's folder, with ``scenes.jsonl``.
        attributes: one of them is drawn for each caption; the other object differs in it.
        only: whether the other object is the same in the rest of colour, shape and material.
        hole: by how many pixels the object that goes is widened in all, 5 as published.
        margin: by how many pixels the object that comes is widened, so that its border is seen; 10 as published.

    Raises:
        UserError: the folder holds no world, or when called: a caption is not of this world, or no object of another
            scene fits.
        ValueError: ``attributes`` is empty.
    """

    attempts = 2000  # scenes that are looked at

    def __init__(
        self,
        world: Path,
        attributes: Sequence[Stitchable] = ("colour", "shape", "material"),
        only: bool = True,
        hole: PositiveInt = 5,
        margin: PositiveInt = 10,
    ) -> None:
        if not attributes:
            raise ValueError("negatives.attributes is empty; expected some of colour, shape, material")
        self.attributes, self.only, self.scenes = list(attributes), only, _Scenes(world)
        self.hole, self.margin = hole, margin

    def __call__(self, record: SpokenCaption, image: np.ndarray, seed: int) -> list[NegativeImage]:
        """Return the image with an object of another scene, coded as the images are."""
        scene, draws = self.scenes.of(record), Draws(seed, 3)
        size = image.shape[0]
        labels, positions = render([scene], size).instances[0].numpy(), project(scene, size)[:, :2].round().astype(int)
        for _ in range(self.attempts):
            index, attribute = draws.below(len(scene.objects)), draws.pick(self.attributes)
            found = Scene.from_json(draws.pick(self.scenes.texts))
            other = draws.below(len(found.objects))
            if not self._fits(scene.objects[index], found.objects[other], attribute):
                continue
            stitched = self._stitched(
                image, labels == index + 1, found, other, (positions[index][0], positions[index][1])
            )
            if stitched is not None:
                values = [getattr(item, attribute) for item in (scene.objects[index], found.objects[other])]
                return [NegativeImage(f"stitched {attribute}: {values[0]} to {values[1]}", _coded(stitched))]
        raise UserError(
            f"negatives: found no object to stitch into the image of {record.uttid} among {self.attempts} drawn from "
            f"{self.scenes.world}; give a world of more scenes, or only: false"
        )

    def _fits(self, own: SceneObject, other: SceneObject, attribute: Stitchable) -> bool:
        rest = [name for name in ("colour", "shape", "material") if name != attribute] if self.only else []
        same = all(getattr(own, name) == getattr(other, name) for name in rest)
        return same and getattr(own, attribute) != getattr(other, attribute)

    def _stitched(
        self, image: np.ndarray, gone: np.ndarray, scene: Scene, index: int, position: tuple[int, int]
    ) -> np.ndarray | None:
        """Return the image with the object, None where it would leave the image or cannot be seen."""
        made = render([scene], image.shape[0])
        shown = made.instances[0].numpy() == index + 1
        hole = ndimage.binary_dilation(gone, np.ones((self.hole, self.hole)))
        if not shown.any() or hole.all():
            return None
        part = ndimage.binary_dilation(shown, np.ones((self.margin, self.margin)))
        try:
            return clone(made.image[0].numpy(), fill(image, hole), part, position)
        except CloneError:
            return None


class _Scenes:
    """The scenes of the folder ``world`` by the names of their captions; ``texts`` are all of them as JSON."""

    def __init__(self, world: Path) -> None:
        path = world / "scenes.jsonl"
        if not path.is_file():
            raise UserError(f"negatives: {world} holds no scenes.jsonl; give the folder of a built world")
        self.world, self.texts = world, []
        self._by_name: dict[str, str] = {}
        for name, record in read_json_lines(path, BUILD_AGAIN):
            try:
                text = json.dumps(_bare(record["scene"]))
                names = (str(int(record["id"])), *(item["uttid"] for item in record["spoken"]))
                self._by_name |= dict.fromkeys(names, text)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise UserError(f"{name}: is no scene of a world ({error!r:.60}); {BUILD_AGAIN}") from error
            self.texts.append(text)

    def of(self, record: SpokenCaption) -> Scene:
        """Return the scene of a caption."""
        text = self._by_name.get(record.uttid)
        if text is None:
            raise UserError(f"negatives: caption {record.uttid} is not of the world {self.world}; give its own world")
        return Scene.from_json(text)


def _coded(rendered_image: np.ndarray) -> np.ndarray:
    """Return an image as it comes back from a JPEG, which the world's own images are."""
    with Image.open(io.BytesIO(encode_image(rendered_image, "jpg"))) as coded:
        return np.asarray(coded.convert("RGB"))


def _bare(scene: dict) -> dict:
    """Return a record's scene without what was measured in its image."""
    kept = ("shape", "colour", "material", "size", "x", "y", "rotation")
    return {**scene, "objects": [{name: item[name] for name in kept} for item in scene["objects"]]}
