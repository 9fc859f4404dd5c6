"""Resize and cut PIL images as torchvision's v2 transforms do, with the same draws of torch's generator.

torchvision's import takes a second or two in each process, training and loading alike; these few lines are what is
needed of it, and the tests compare them with it pixel by pixel.
"""

import math

import torch
from PIL import Image

SHARE = (0.08, 1.0)  # of the area, as published
ASPECT = (3 / 4, 4 / 3)  # width to height
TRIES = 10


def resize_shorter(image: Image.Image, length: int) -> Image.Image:
    """Scale an image so that its shorter edge has ``length`` pixels."""
    short, long = sorted(image.size)
    scaled = int(length * long / short)
    size = (length, scaled) if image.width <= image.height else (scaled, length)
    return image.resize(size, Image.Resampling.BILINEAR)


def centre_crop(image: Image.Image, length: int) -> Image.Image:
    """Cut the square of ``length`` pixels from the middle."""
    left, top = round((image.width - length) / 2), round((image.height - length) / 2)
    return image.crop((left, top, left + length, top + length))


def random_crop(image: Image.Image, length: int) -> Image.Image:
    """Cut a square of ``length`` pixels from anywhere."""
    top = _below(image.height - length + 1) if image.height > length else 0
    left = _below(image.width - length + 1) if image.width > length else 0
    return image.crop((left, top, left + length, top + length))


def random_resized_crop(image: Image.Image, length: int) -> Image.Image:
    """Cut 8 to 100 % of the area in a shape of 3:4 to 4:3, and scale it to ``length`` x ``length``.

    If ten draws do not fit into the image, the largest such rectangle in its middle is cut.
    """
    for _ in range(TRIES):
        area = image.width * image.height * torch.empty(1).uniform_(*SHARE).item()
        aspect = torch.empty(1).uniform_(*torch.log(torch.tensor(ASPECT)).tolist()).exp().item()
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= image.width and 0 < height <= image.height:
            top, left = _below(image.height - height + 1), _below(image.width - width + 1)
            break
    else:
        width = min(image.width, round(image.height * max(ASPECT)))
        height = min(image.height, round(image.width / min(ASPECT)))
        top, left = (image.height - height) // 2, (image.width - width) // 2
    box = (left, top, left + width, top + height)
    return image.crop(box).resize((length, length), Image.Resampling.BILINEAR)


def random_mirror(image: Image.Image) -> Image.Image:
    """Mirror an image left to right, or not, with equal chances."""
    return image if torch.rand(1) >= 0.5 else image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _below(count: int) -> int:
    """Draw a whole number from 0 to ``count`` - 1."""
    return int(torch.randint(0, count, size=(1,)))
