"""Layers of R3GAN (arXiv:2501.05441, section 4): residual blocks without norm, bilinear resampling, both ends.

Follows brownvc/R3GAN ``R3GAN/Networks.py``: inverted bottlenecks whose middle convolution is grouped, leaky ReLUs,
Fix-up initialisation (arXiv:1901.09321) in place of norms. Shape letters: B images, C, O channels, H, W height and
width of a map, E size of a condition.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError

FIRST_RESOLUTION = 4
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))


class R3ganError(UserError, ValueError):
    """An R3GAN that cannot be made, or a call that does not fit it."""


def draw_weights(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Draw weights of deviation gain / sqrt(inputs of an output), and set the biases to 0."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def class_embedding(num_classes: int, dim: int) -> nn.Embedding:
    """Return embeddings of deviation 1 / sqrt(classes), as published: short beside the latent, which counts at first.

    With a deviation of 1, which torch draws, the generator listens to the class alone, and images of a class are alike.
    """
    layer = nn.Embedding(num_classes, dim)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(num_classes))
    return layer


class ResidualBlock(nn.Module):
    """Widen, convolve in groups and narrow maps (B, C, H, W), and add them to what came in.

    ``blocks`` of the whole network scale the first weights down; the last layer begins at 0 (Fix-up).
    """

    def __init__(self, channels: int, expansion: int, group_width: int, blocks: int) -> None:
        super().__init__()
        hidden = channels * expansion
        if hidden % group_width:
            raise R3ganError(
                f"{channels} channels times {expansion} are not divisible by group_width {group_width}; give "
                "other widths"
            )
        self.widen = nn.Conv2d(channels, hidden, 1)
        self.conv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden // group_width)
        self.narrow = nn.Conv2d(hidden, channels, 1, bias=False)
        gain = GAIN * blocks ** (-1 / 4)  # three layers in a branch
        for layer, value in ((self.widen, gain), (self.conv, gain), (self.narrow, 0.0)):
            draw_weights(layer, value)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        hidden = F.leaky_relu(self.widen(maps), SLOPE, inplace=True)
        hidden = F.leaky_relu(self.conv(hidden), SLOPE, inplace=True)
        return maps + self.narrow(hidden)


class Basis(nn.Module):
    """Turn conditions (B, E) into maps (B, C, 4, 4): learned ones, each scaled linearly."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, FIRST_RESOLUTION, FIRST_RESOLUTION))
        self.scale = nn.Linear(inputs, channels, bias=False)
        draw_weights(self.scale)

    def forward(self, conditions: Tensor) -> Tensor:
        """Scale."""
        return self.maps * self.scale(conditions)[:, :, None, None]


class Upsample(nn.Module):
    """Mix channels where their number changes, and double the resolution bilinearly."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.mix = _mixing(channels, out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, O, 2H, 2W)."""
        return F.interpolate(self.mix(maps), scale_factor=2, mode="bilinear", align_corners=False)


class Downsample(nn.Module):
    """Halve the resolution, and mix channels where their number changes."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.mix = _mixing(channels, out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, O, H/2, W/2)."""
        return self.mix(F.avg_pool2d(maps, 2))


def _mixing(channels: int, out_channels: int) -> nn.Module:
    if channels == out_channels:
        return nn.Identity()
    layer = nn.Conv2d(channels, out_channels, 1, bias=False)
    draw_weights(layer)
    return layer
