"""Image files to what the image encoders take: decoded with PIL, cut and scaled by datasets/crops.py.

Published forms: wnhsu/ResDAVEnet-VQ trains on a random-resized crop of 224 and evaluates on 256 -> centre crop 224;
surisdi/learning-by-drawing takes 128 -> centre crop 128 for both. Both normalise with ImageNet's mean and deviation.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from common.errors import UserError
from common.files import LARGEST as LARGEST_FILE
from common.files import LargeFileError, read_at_once
from config import Problem, check_values
from config.limits import Resolution
from datasets.crops import centre_crop, random_mirror, random_resized_crop, resize_shorter
from datasets.file_names import not_there, shown_path
from datasets.pixels import PixelError, is_blank, spread, to_rgb
from models.imagenet import normalise

SMALLEST_EDGE = 2
NARROWEST = 100  # times the shorter edge that the longer one may have; scaling the shorter one up is bounded by it
LARGEST = 2**27  # pixels; 400 MB as RGB, more than an image of a phone of 108 million pixels
DENSEST = 1000  # pixels that a byte of a file stands for at most, where there are more than UNSUSPICIOUS
UNSUSPICIOUS = 2**24
CONVERT = "convert it to JPEG or PNG"
KINDS = (  # what begins so is no image that Pillow decodes: what it is, and what to do
    (rb"$", "the file is empty", "copy it again"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the image itself", "fetch it with git lfs pull"),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "HEIF", CONVERT),
    (rb"\xff\x0a|.{4}JXL ", "JPEG XL", CONVERT),
    (rb"\s*(<\?xml.*?)?(<!--.*?)?(<!DOCTYPE svg.*?)?<svg", "SVG", CONVERT),
    (rb"(?i)\s*<(!doctype )?html", "a web page, such as a download that failed", "download it again"),
    (rb".{4}ftyp(isom|iso2|mp4|qt|M4V|avc1)", "a video", "take a frame of it"),
    (rb"%PDF", "PDF", CONVERT),
)


class ImageError(UserError):
    """An image that cannot be decoded, or shows nothing."""


def read_image(source: Path | bytes | np.ndarray, name: str | None = None, allow_blank: bool = False) -> Image.Image:
    """Decode an image, or its bytes as HDF5 holds them, to RGB as viewers show it: upright, and from black to white.

    Every mode of Pillow is converted, also grey of 16 and 32 bits and of floats (datasets/pixels.py says what is white
    there). Photographs are turned as their EXIF orientation says, which the published code does not do. Transparent
    parts lie on white, or on black where nothing could be seen on white. Of several frames the first counts. A blank
    image is refused as a silent sound is: nothing can be learned from it, and it is often what a failure left. Blank is
    what spans 3 of 255 levels at most, or up to 8 that are noise, such as a black frame of a camera; whatever shows an
    object of more than that is an image.

    ``name`` is what an error calls the image; ``allow_blank`` is for generated images, of which a blank one is a
    result. Raises ImageError where the file is missing, broken off or no image, whatever its decoder says of it; has a
    height or width of one pixel, one that is more than 100 times the other, or so many pixels that it takes too much
    memory; has no defined black and white; is blank.
    """
    name = name or (shown_path(str(source)) if isinstance(source, Path) else "image in memory")
    if isinstance(source, Path) and (absent := not_there(source, "image")):
        raise ImageError(f"{name}: {absent}")
    try:
        # not by name: files that Pillow 13 opens are mapped into memory, and TIFF that lies on its side is garbled
        with _opened(source) as file, Image.open(file) as image:
            _check_size(image, file)
            if image.format == "EPS":  # Pillow hands it to an interpreter, and PostScript is a program
                raise PixelError(f"is PostScript, which is not run here; {CONVERT}")
            rgb = to_rgb(image, lambda: file.seek(0) or file.read(), name)
    except PixelError as error:
        raise ImageError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        found, remedy = _kind(source)
        raise ImageError(f"{name}: cannot be decoded as an image ({found}); {remedy}") from error
    except Exception as error:  # decoders raise what they like: RuntimeError, NotImplementedError, MemoryError
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: cannot be decoded as an image ({reason}); replace or remove it") from error
    if min(rgb.size) < SMALLEST_EDGE:
        raise ImageError(f"{name}: is {rgb.width}x{rgb.height} pixels, expected at least {SMALLEST_EDGE} a side")
    if problem := narrow(rgb.size):
        raise ImageError(f"{name}: {problem}")
    if not allow_blank and is_blank(rgb):
        levels = spread(rgb)
        alike = f"within {levels} of 255 levels" if levels else "equal"
        raise ImageError(
            f"{name}: shows nothing, all {rgb.width}x{rgb.height} pixels are {alike}; replace or remove it"
        )
    return rgb


def narrow(size: tuple[int, int]) -> str | None:
    """Return a message about a width and height (pixels) so unlike that scaling the shorter would take much memory."""
    longest = NARROWEST * min(size)
    if max(size) <= longest:
        return None
    return (
        f"is {size[0]}x{size[1]} pixels, expected a longer edge of at most {longest}, {NARROWEST} times the shorter; "
        "crop or remove it"
    )


def read_image_bytes(path: Path) -> bytes:
    """Read an image file without decoding it, for :func:`read_image`; raise ImageError where it cannot be read."""
    name = shown_path(str(path))
    if absent := not_there(path, "image"):
        raise ImageError(f"{name}: {absent}")
    try:
        return read_at_once(path)
    except LargeFileError as error:
        raise ImageError(f"{name}: {_too_large(path.stat().st_size)}") from error
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error}); give one that can") from error


def _opened(source: Path | bytes | np.ndarray) -> BinaryIO:
    """Open the bytes of an image as a file."""
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(bytes(source))


def _check_size(image: Image.Image, file: BinaryIO) -> None:
    """Refuse an image whose pixels would take too much memory, or so much more than its file that it is a trap."""
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(at)
    if size > LARGEST_FILE:
        raise PixelError(_too_large(size))
    pixels = image.width * image.height
    largest = min(LARGEST, max(UNSUSPICIOUS, DENSEST * size))
    if pixels > largest:
        raise PixelError(
            f"is {image.width}x{image.height} pixels in {size} bytes, expected at most {largest} pixels; scale it down"
        )


def _too_large(size: int) -> str:
    """Return a message about a file that may be short but has a hole of terabytes."""
    return f"has {size} bytes, expected at most {LARGEST_FILE} of an image; replace or remove it"


def _kind(source: Path | bytes | np.ndarray) -> tuple[str, str]:
    """Return what a file is that Pillow does not know, and the remedy."""
    with _opened(source) as file:
        head = file.read(1024)
    found = (rest for begin, *rest in KINDS if re.match(begin, head, re.DOTALL))
    what, remedy = next(found, ("damaged, or of a kind that Pillow does not know", "replace or remove it"))
    return what, remedy


@dataclass(frozen=True)
class ImageTransform:
    """Cuts and scales images.

    Args:
        size: Height and width of the square result in pixels.
        resize: Length in pixels that the shorter edge gets before the centre crop.
        random_crop: Train on random-resized crops (8 to 100 % of the area, as published); False takes the centre
            crop in training too. Evaluation always takes the centre crop.
        flip: Mirror half of the training images left to right. No published system does, and captions say "left".
    """

    size: Resolution
    resize: Resolution
    random_crop: bool
    flip: bool = False

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(size: int, resize: int) -> Iterator[Problem]:
        """Refuse a crop larger than the image that it is cut from."""
        if size > resize:
            yield "size", f"found {size}, expected at most resize, {resize} (pixels)"

    def crop(self, image: Image.Image, train: bool) -> Image.Image:
        """Cut and scale RGB to ``size`` x ``size``; randomness (``train`` only) comes from torch's generator."""
        if train and self.random_crop:
            image = random_resized_crop(image, self.size)
        else:
            image = centre_crop(resize_shorter(image, self.resize), self.size)
        return random_mirror(image) if train and self.flip else image

    def __call__(self, image: Image.Image, train: bool) -> Tensor:
        """Cut, scale and normalise RGB to (3, size, size) float32."""
        return normalise(torch.from_numpy(np.array(self.crop(image, train))).movedim(-1, -3).float() / 255)
