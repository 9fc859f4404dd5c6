"""Picture files to what the image encoders take: decoded with PIL, cut and scaled with torchvision's v2 transforms.

Published forms: wnhsu/ResDAVEnet-VQ trains on a random-resized crop of 224 and evaluates on 256 -> centre crop 224;
surisdi/learning-by-drawing takes 128 -> centre crop 128 for both. Both normalise with ImageNet's mean and deviation.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from config import Fault, refuse
from config.limits import Side
from engine.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SMALLEST_SIDE = 2


class ImageError(UserError):
    """A picture that cannot be decoded or is too small to show anything."""


def read_image(source: Path | bytes | np.ndarray, name: str | None = None) -> Image.Image:
    """Decodes a picture to RGB.

    Greyscale (8 and 16 bit), palette and CMYK pictures are converted; transparent parts lie on white.

    Args:
        source: A file, or its bytes (uint8 array or bytes) as HDF5 holds them.
        name: What an error calls the picture; the path when it is a file.

    Returns:
        RGB picture, fully loaded.

    Raises:
        ImageError: The file is missing, broken off or no picture, or has a side of one pixel.
    """
    name = name or (str(source) if isinstance(source, Path) else "picture in memory")
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(bytes(source))) as image:
            image.load()
            rgb = _to_rgb(image)
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such picture file; correct the manifest or copy the file there") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: cannot be decoded as a picture ({error}); replace or remove it") from error
    if min(rgb.size) < SMALLEST_SIDE:
        raise ImageError(f"{name}: is {rgb.width}x{rgb.height} pixels, expected at least {SMALLEST_SIDE} a side")
    return rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL mode to RGB without clipping 16-bit greys or showing what transparency hides."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.asarray(image).astype(np.int64) // 256, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class ImageTransform:
    """How a picture is cut and scaled.

    Args:
        size: Side of the square result in pixels.
        resize: Length in pixels that the shorter side gets before the centre crop.
        random_crop: Train on random-resized crops (8 to 100 % of the area, as published); False takes the centre
            crop in training too. Evaluation always takes the centre crop.
        flip: Mirror half of the training pictures left to right. No published system does, and captions say "left".
    """

    size: Side
    resize: Side
    random_crop: bool
    flip: bool = False

    def __post_init__(self) -> None:
        refuse(self)

    @staticmethod
    def faults(size: int, resize: int) -> Iterator[Fault]:
        """Refuse a crop larger than the picture that it is cut from.

        Args:
            size: side of the crop in pixels.
            resize: shorter side of the scaled picture in pixels.

        Returns:
            A fault where the crop is the larger one.
        """
        if size > resize:
            yield "size", f"found {size}, expected at most resize, {resize} (pixels)"

    def crop(self, image: Image.Image, train: bool) -> Image.Image:
        """Cuts and scales; randomness comes from torch's generator.

        Args:
            image: RGB.
            train: Random crop and flip where they are switched on; else the centre crop.

        Returns:
            RGB of ``size`` x ``size`` pixels.
        """
        if train and self.random_crop:
            image = v2.RandomResizedCrop(self.size)(image)
        else:
            image = v2.functional.center_crop(v2.functional.resize(image, [self.resize]), [self.size])
        return v2.RandomHorizontalFlip()(image) if train and self.flip else image

    def __call__(self, image: Image.Image, train: bool) -> Tensor:
        """Cuts, scales and normalises.

        Args:
            image: RGB.
            train: As in :meth:`crop`.

        Returns:
            (3, size, size) float32.
        """
        return normalise(torch.from_numpy(np.array(self.crop(image, train))))


def normalise(pixels: Tensor) -> Tensor:
    """Takes off ImageNet's mean and divides by its deviation.

    Args:
        pixels: (..., H, W, 3) uint8.

    Returns:
        (..., 3, H, W) float32.
    """
    scaled = pixels.movedim(-1, -3).float() / 255
    return v2.functional.normalize(scaled, list(IMAGENET_MEAN), list(IMAGENET_STD))
