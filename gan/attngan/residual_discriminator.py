"""A residual discriminator without normalisation that scores an image together with a sentence, of any resolution.

DF-GAN's one-way output (arXiv:2008.05865, ``NetD`` and ``NetC`` of tobran/DF-GAN): one logit that an image is real and
fits its sentence. Penalties on gradients need what no other image of the batch changes, so there is no batch norm.

Shape letters: B images, D size of a sentence's embedding, N width, R resolution of the images.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Resolution, Width
from gan.attngan.discriminators import SLOPE, Logits
from gan.attngan.generator import AttnganError

LAST_RESOLUTION = 4


class ResidualDown(nn.Module):
    """Halve the resolution; the convolutions' part starts at 0 and grows by a learned factor."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, out_channels, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
        )
        self.shortcut = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, C', H/2, W/2)."""
        return F.avg_pool2d(self.shortcut(maps), 2) + self.share * self.block(maps)


class ResidualDiscriminator(nn.Module):
    """Score images of one resolution with their sentences.

    Args:
        resolution: R, a power of two from 8 on.
        width: N; each of the first stages has twice the channels of the one before, 8 N at most.
        embedding_dim: D.

    Raises:
        AttnganError: the resolution is no power of two, or below 8.
    """

    def __init__(self, resolution: Resolution, width: Width = 32, embedding_dim: Width = 256) -> None:
        super().__init__()
        stages = int(math.log2(resolution // LAST_RESOLUTION)) if resolution >= 2 * LAST_RESOLUTION else 0
        if resolution != LAST_RESOLUTION * 2**stages or not stages:
            raise AttnganError(
                f"a discriminator was asked of images of {resolution} pixels; expected 8, 16, 32, 64 ..."
            )
        self.resolution = resolution
        widths = [width * min(8, 2**stage) for stage in range(stages + 1)]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.stages = nn.Sequential(*(ResidualDown(a, b) for a, b in pairwise(widths)))
        self.joint = nn.Sequential(
            nn.Conv2d(widths[-1] + embedding_dim, 2 * width, 3, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, 1, LAST_RESOLUTION, bias=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, C, 4, 4) of images (B, 3, R, R) in [-1, 1]; another resolution is an AttnganError."""
        if images.shape[1:] != (3, self.resolution, self.resolution):
            raise AttnganError(
                f"found images {tuple(images.shape)}, expected (B, 3, {self.resolution}, {self.resolution})"
            )
        return self.stages(self.stem(images))

    def logits(self, features: Tensor, sentences: Tensor) -> Logits:
        """Score features (B, C, 4, 4) with sentences (B, D)."""
        tiled = sentences[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return Logits(self.joint(torch.cat((features, tiled), dim=1)).flatten(), None)
