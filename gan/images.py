"""Generated images as people and image encoders look at them.

Published code: surisdi/learning-by-drawing ``ablate/gantest.py`` (values beyond [-1, 1] are cut, pixels stay unrounded)
and ``utils.py`` (ImageNet's mean and deviation). Shape letters: B images, R pixels high and wide.
"""

import torch
from torch import Tensor

from models.imagenet import normalise


def pixels(images: Tensor) -> Tensor:
    """Scale generated images (B, 3, R, R), about [-1, 1], to pixel values 0-255, not rounded, as published."""
    return ((images + 1) / 2 * 255).clamp(0, 255)


def to_uint8(image: Tensor) -> Tensor:
    """Turn one generated image (3, R, R), about [-1, 1], into pixels (R, R, 3) uint8 to show, rounded, on the CPU."""
    return pixels(image).round().to(torch.uint8).movedim(0, -1).cpu()


def encoder_input(images: Tensor) -> Tensor:
    """Scale generated images (B, 3, R, R), about [-1, 1], to 0-1 and normalise them as ImageNet's are."""
    return normalise(pixels(images) / 255)
