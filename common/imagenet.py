"""What image encoders that were trained on ImageNet take."""

from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """Take off ImageNet's mean and divide by its deviation.

    Args:
        images: (..., 3, H, W) float in 0-1.

    Returns:
        The same shape.
    """
    mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean).div_(std)
