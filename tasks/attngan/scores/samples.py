"""Generated images with their captions, whoever made them, and real ones beside them.

    NAME.json     a list of images with captions: own images (datasets/text_image/own_files.py), as attngan/sample.yaml
                  writes it
    a folder      images with a text beside each, or images that are named for the real ones as taoxugit/AttnGAN's
                  B_VALIDATION has them: ``<name>_s-1.png``, MinfengZhu/DM-GAN's ``<name>_s-1_3.png``

Of several captions of an image the first is the one that it was generated from. Files named for real images do not say
which of its captions that was: the real image's first is taken, and a warning says so.

Shape letters: B images, R resolution.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from common.text_files import TextError, read_text
from datasets.crops import centre_crop, resize_shorter
from datasets.images import read_image
from datasets.loading.rows import ManifestError, NoRowsError, report_problems
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.own_files import TEXT, read_folder, read_list
from evaluation.attribute_accuracy import ATTRIBUTES
from evaluation.frechet import to_uint8

log = logging.getLogger(__name__)
STAGE = re.compile(r"_s-?\d+(_\d+)?$")  # how the name of a published sample ends
LARGEST_SCENES = 2**28  # bytes
Objects = list[dict[str, str]]
"""Attributes of the objects of a scene."""


class Samples(NamedTuple):
    """Images that belong to captions, real or generated."""

    source: Path  # their list or folder
    names: list[str]  # of the images, for messages and to find the real image that one belongs to
    captions: list[str]
    classes: np.ndarray  # (N,) int64; wrong captions are those of other classes
    read: Callable[[int], tuple[Tensor, bool]]  # an image (3, R, R) uint8, and whether it was scaled to that

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, size: int, threads: int, rows: Sequence[int] | None = None) -> Iterator[tuple[Tensor, int]]:
        """Yield images (B, 3, R, R) uint8 in order, and how many of them were scaled; ``threads`` read them."""
        wanted = range(len(self)) if rows is None else rows
        with ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(wanted), size):
                images, scaled = zip(*pool.map(self.read, wanted[first : first + size]), strict=True)
                yield torch.stack(images), sum(scaled)


def real_samples(dataset: CaptionedImages) -> Samples:
    """Return the images of a split at its largest resolution, each with its first caption."""
    key = f"image_{dataset.resolutions[-1]}"
    return Samples(
        dataset.source,
        [
            _stem(dataset.content.path(row).relative_to(dataset.content.images).as_posix())
            for row in range(len(dataset))
        ],
        [dataset.text(row) for row in range(len(dataset))],
        dataset.content.classes,
        lambda row: (to_uint8(dataset[row][key]), False),
    )


def generated_samples(source: Path, real: CaptionedImages) -> Samples:
    """Read the names, captions and classes of generated images, in whichever layout they are.

    ``real`` is the split that files named for real images belong to. Raises ManifestError where there are no images,
    captions are missing, or a file is named for no real image.
    """
    if not source.exists():
        raise ManifestError(
            f"there are no generated images at {source}: expected a folder, or a list of images (.json)"
        )
    own = source.is_file() or any(path.suffix.lower() == TEXT for path in source.rglob("*"))
    if not own:
        return _named_for(source, real)
    found = read_list(source) if source.is_file() else read_folder(source)
    classes = [f"row {row}" if one is None else f"class {one}" for row, one in enumerate(found.classes)]
    captions = [texts[0] for texts in found.texts]
    return _of_files(source, found.images, found.names, captions, numbered(classes), real.resolutions[-1])


def read_objects(path: Path) -> dict[str, Objects]:
    """Read the objects of each image, such as ``scenes/test.json`` of a captioned world, by the images' names.

    The file is a list of mappings with ``image`` and ``objects``, these mappings with some of colour, shape, size and
    material. Raises ManifestError where it is something else.
    """
    rows = _json(path)
    form = "a list of mappings with image and objects, such as scenes/test.json of a captioned world"
    if not isinstance(rows, list) or not rows:
        raise ManifestError(f"{path} holds no scenes; expected {form}")
    wrong = (f"row {number} {fault}" for number, row in enumerate(rows) if (fault := _fault(row)))
    report_problems(path, wrong, f"expected {form}")
    return {_stem(row["image"]): [_attributes(item) for item in row["objects"]] for row in rows}


def origin(name: str, known: Mapping[str, Any]) -> str | None:
    """Return which of the ``known`` names an image's file is named for; None where it is none of them.

    Its folders may lie below others, and it may end as published samples do.
    """
    parts = PurePosixPath(_stem(name)).parts
    for stem in (parts[-1], STAGE.sub("", parts[-1])):
        for first in range(len(parts)):
            candidate = "/".join((*parts[first:-1], stem))
            if candidate in known:
                return candidate
    return None


def numbered(labels: Iterable[str]) -> np.ndarray:
    """Number labels in the order in which they come first, (N,) int64."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)


def _named_for(folder: Path, real: CaptionedImages) -> Samples:
    """Read images that are named for the real ones whose captions they were generated from."""
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in endings)
    names = [path.as_posix() for path in files]
    if not names:
        raise NoRowsError(f"{folder} holds no image; expected generated ones, such as NAME_s-1.png")
    own = real_samples(real)
    rows = {name: row for row, name in enumerate(own.names)}
    origins = [origin(name, rows) for name in names]
    strange = (f"{name}: no real image has this name" for name, one in zip(names, origins, strict=True) if one is None)
    report_problems(
        folder,
        strange,
        f"expected images named for those of {own.source}, such as {own.names[0]}_s-1.png, or a text with the caption "
        "beside each",
    )
    log.warning(
        "%s does not say which caption each of its %d images was generated from: the first of the real image is taken, "
        "so that R-precision comes out too low where it was another one", folder, len(names),
    )  # fmt: skip
    taken = [rows[one] for one in origins if one is not None]
    captions, classes = [own.captions[row] for row in taken], own.classes[taken]
    return _of_files(folder, folder, names, captions, classes, real.resolutions[-1])


def _of_files(
    source: Path, folder: Path, names: list[str], captions: list[str], classes: np.ndarray, resolution: int
) -> Samples:
    """Return samples whose images are files below a folder."""

    def read(row: int) -> tuple[Tensor, bool]:
        image = read_image(folder / names[row], allow_blank=True)
        scaled = image.size != (resolution, resolution)
        if scaled:
            image = centre_crop(resize_shorter(image, resolution), resolution)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), scaled

    return Samples(source, names, captions, classes, read)


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_SCENES:
            raise ManifestError(f"{path} has {path.stat().st_size} bytes, expected at most {LARGEST_SCENES}")
        return json.loads(read_text(path))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read ({error.strerror or error}); expected a list of scenes") from error
    except TextError as error:
        raise ManifestError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path} is not JSON ({error}); expected a list of scenes") from error


def _fault(row: Any) -> str | None:
    """Return what is wrong with a scene."""
    if not isinstance(row, dict) or not isinstance(row.get("image"), str) or not PurePosixPath(row["image"]).name:
        return "has no image"
    objects = row.get("objects")
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        return "has no list of objects"
    if not all(isinstance(item[name], str) for item in objects for name in ATTRIBUTES if name in item):
        return f"has an object whose {', '.join(ATTRIBUTES)} are no words"
    return None


def _attributes(item: Mapping[str, Any]) -> dict[str, str]:
    return {name: item[name] for name in ATTRIBUTES if name in item}
