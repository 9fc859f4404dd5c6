"""Normalisation of image encoders that were trained on ImageNet."""

from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """Return images (..., 3, H, W), float in 0-1, less ImageNet's mean and divided by its deviation."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (images - mean).div_(std)
