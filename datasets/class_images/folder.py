"""Own images, a folder for each class, as arrays of one size.

    source/red apples/0001.jpg ...
    source/lemons/anything.png ...

The middle square of an image is cut out and scaled (ajbrock/BigGAN-PyTorch ``utils.py``, CenterCropLongEdge).
"""

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from config.limits import Chance, Resolution, Workers
from datasets.class_images.build import SPLITS, STATE, ClassImagesError, Part, ensure
from datasets.crops import centre_crop
from datasets.digests import digest, files_digest
from datasets.images import ImageError, read_image
from datasets.sharded_build import read_state

log = logging.getLogger(__name__)
ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
SMALL = 64  # images of a dry run


@dataclass(frozen=True)
class ClassFolder:
    """Images in a folder for each class.

    Attributes:
        source: the folder with a folder for each class, whose name is the class's; folders in these count too.
        folder: of the arrays that are made.
        size: height and width that images are scaled to, pixels.
        validation: share of the images that are held out, chosen by their names, at least one.
        validation_source: a folder laid out as ``source`` with the held-out images, such as ImageNet's ``val``; then
            ``validation`` says nothing.
        workers: processes; 0 is one for each core.

    Raises:
        ClassImagesError: there are no folders with images, or the held-out images have other classes.
    """

    source: Path
    folder: Path
    size: Resolution
    validation: Chance = 0.1
    validation_source: Path | None = None
    workers: Workers = 0


def ensure_class_folder(images: ClassFolder, dry_folder: Path | None = None) -> Path:
    """Make arrays of own images unless they are there already; one that was interrupted goes on where it was.

    Args:
        images: where the images are, and what becomes of them.
        dry_folder: make a few images there instead, for a dry run.

    Returns:
        The folder of the arrays.

    Raises:
        ClassImagesError: there are no images, too few, one cannot be read, or the folder holds something else.
    """
    classes, rows = _listed(images)
    folder, workers = images.folder, images.workers
    if dry_folder is not None:
        folder, workers = dry_folder, 1
        rows = {split: found[:: -(-len(found) // SMALL)] for split, found in rows.items()}
    counts = {split: len(found) for split, found in rows.items()}
    names = digest(str(path) for split in SPLITS for path, _ in rows[split])
    settings = {"source": str(images.source), "size": images.size, "files": names}
    if _knows_contents(folder / STATE):
        settings["contents"] = files_digest(str(path) for split in SPLITS for path, _ in rows[split])
    return ensure(folder, settings, classes, counts, partial(_read, rows, images.size), workers)


def _knows_contents(path: Path) -> bool:
    """Return whether a folder's settings have its files' contents, or will have; earlier versions did not note them."""
    if not path.is_file():
        return True
    return "contents" in read_state(path, ClassImagesError, f"delete {path.parent} and start again")["settings"]


Row = tuple[Path, int]


def _listed(images: ClassFolder) -> tuple[list[str], dict[str, list[Row]]]:
    """Return the names of the classes, and the files of each split with their class's number."""
    classes, found = _files(images.source, "images.source")
    if images.validation_source is not None:
        others, held_out = _files(images.validation_source, "images.validation_source")
        if others != classes:
            odd = sorted(set(others) ^ set(classes))[:3]
            raise ClassImagesError(
                f"{images.validation_source} and {images.source} do not have the same classes ({', '.join(odd)}, ...)"
            )
        return classes, {"train": found, "validation": held_out}
    ranked = sorted(found, key=lambda row: hashlib.sha256(f"{row[0].parent.name}/{row[0].name}".encode()).digest())
    count = max(1, round(images.validation * len(found)))
    if count >= len(found):
        raise ClassImagesError(f"{images.source} holds {len(found)} images, {count} held out; leave some to train on")
    kept = set(ranked[:count])
    return classes, {"train": [row for row in found if row not in kept], "validation": sorted(kept)}


def _files(source: Path, key: str) -> tuple[list[str], list[Row]]:
    if not source.is_dir():
        raise ClassImagesError(f"{key}: there is no folder {source}; expected one with a folder for each class")
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    rows: list[Row] = []
    classes: list[str] = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        if not files:
            log.warning("%s holds no images, so it is no class", folder)
            continue
        rows += [(path, len(classes)) for path in files]
        classes.append(folder.name)
    if not rows:
        raise ClassImagesError(f"{key}: {source} has no folders with images ({', '.join(sorted(ENDINGS))})")
    return classes, rows


def _read(rows: dict[str, list[Row]], size: int, split: str, wanted: range) -> Part:
    chosen = [rows[split][row] for row in wanted]
    try:
        images = [np.asarray(squared(read_image(path), size)) for path, _ in chosen]
    except ImageError as error:
        raise ClassImagesError(str(error)) from error
    return np.stack(images), np.array([number for _, number in chosen], dtype=np.int64)


def squared(image: Image.Image, size: int) -> Image.Image:
    """Cut the middle square out of an image and scale it to ``size`` pixels, with antialiasing."""
    return centre_crop(image, min(image.size)).resize((size, size), Image.Resampling.BICUBIC)
