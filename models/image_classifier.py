"""A small classifier of images of a few dozen pixels: strided convolutions, batch norm, mean over positions.

Shape letters: B images, R height and width in pixels, D features, K classes.
"""

from itertools import pairwise
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Width
from models.batch_norm import BatchNorm


class ClassifierStage(nn.Module):
    """Halve the resolution of maps (B, C, H, W) by a convolution and add a residual one, (B, O, H/2, W/2)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.down_norm = BatchNorm(out_channels)
        self.conv = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm = BatchNorm(out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve twice."""
        maps = F.relu(self.down_norm(self.down(maps)))
        return F.relu(maps + self.norm(self.conv(maps)))


class SmallClassifier(nn.Module):
    """Tell the class of images of any size from 16 pixels on.

    Args:
        widths: channels behind each halving of the resolution; D is the last.
        num_classes: K.
    """

    def __init__(
        self,
        widths: Annotated[list[Width], Field(min_length=1, max_length=8)],
        num_classes: Width,
    ) -> None:
        super().__init__()
        self.widths, self.num_classes = list(widths), num_classes
        self.stages = nn.Sequential(*(ClassifierStage(a, b) for a, b in pairwise([3, *widths])))
        self.classes = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K) of images (B, 3, R, R) in [-1, 1]."""
        return self.classes(self.stages(images).mean(dim=(2, 3)))
