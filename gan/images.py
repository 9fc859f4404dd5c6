"""From what a generator puts out to what people and image encoders look at.

Published code: surisdi/learning-by-drawing ``ablate/gantest.py`` (values beyond [-1, 1] are cut, pixels stay unrounded)
and ``utils.py`` (ImageNet's mean and deviation). Shape letters: B images, R pixels high and wide.
"""

import torch
from torch import Tensor

from common.imagenet import normalise


def pixels(images: Tensor) -> Tensor:
    """Scale generated images to pixel values.

    Args:
        images: (B, 3, R, R) float, about [-1, 1].

    Returns:
        (B, 3, R, R) float in 0-255, not rounded, as published.
    """
    return ((images + 1) / 2 * 255).clamp(0, 255)


def to_uint8(image: Tensor) -> Tensor:
    """Turn one generated image into pixels to show.

    Args:
        image: (3, R, R) float, about [-1, 1].

    Returns:
        (R, R, 3) uint8 on the CPU, rounded.
    """
    return pixels(image).round().to(torch.uint8).movedim(0, -1).cpu()


def encoder_input(images: Tensor) -> Tensor:
    """Prepare generated images for an image encoder that was trained on ImageNet-normalised images.

    Args:
        images: (B, 3, R, R) float, about [-1, 1].

    Returns:
        (B, 3, R, R) float, pixels in 0-1 less ImageNet's mean, divided by its deviation.
    """
    return normalise(pixels(images) / 255)
