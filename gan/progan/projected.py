"""A discriminator that also looks at images through a trained network (Projected GAN: arXiv:2111.01007).

Features of a trained network (here the segmenter: shapes, colours, materials) show a generator much earlier than raw
pixels what its images lack. The frozen network gives maps at several resolutions; channels are mixed by fixed random
weights, so that the discriminator cannot settle on a few of them (section 3.2); a small head for each resolution scores
them. Unlike the paper the discriminator of pixels stays, because a generator can please a network with patterns that
people do not see.

Shape letters: B batch, R height and width of the image, K logits.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Width
from gan.progan.generator import SLOPE, ProganError, ScaledConv
from gan.progan.growing import ProganDiscriminator
from models.segmenter.network import AttributeSegmenter, SmallSegmenter


class FeatureHead(nn.Module):
    """Score maps of one resolution, a power of two, with ``width`` channels of its own."""

    def __init__(self, channels: int, resolution: int, width: int) -> None:
        super().__init__()
        mixing = torch.randn(width, channels, 1, 1, generator=torch.Generator().manual_seed(channels))
        self.register_buffer("mixing", mixing * math.sqrt(1 / channels))
        halvings = max(0, int(math.log2(resolution)) - 2)
        self.halve = nn.ModuleList(ScaledConv(width, width, 3, resample="downsample") for _ in range(halvings))
        self.last = ScaledConv(width, width, 3)
        self.logit = ScaledConv(width, 1, 1, gain=1.0)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, channels, resolution, resolution) into (B,) logits, the mean over positions."""
        maps = F.conv2d(maps, self.mixing)
        for halve in self.halve:
            maps = F.leaky_relu(halve(maps), SLOPE)
        return self.logit(F.leaky_relu(self.last(maps), SLOPE)).mean(dim=(1, 2, 3))


class ProjectedDiscriminator(ProganDiscriminator):
    """Distinguishes images of any trained resolution from generated ones, by pixels and a segmenter's features.

    Args:
        widths: channels of the discriminator of pixels at 4, 8, 16 ... pixels.
        segmenter: its network must be a :class:`models.segmenter.network.SmallSegmenter`; it is frozen.
        head_width: channels of the heads.
        group: samples over which the standard deviation is taken.
        convolutions: convolutions per resolution of the discriminator of pixels.

    Raises:
        ProganError: the segmenter has no features to look at.
    """

    def __init__(
        self,
        widths: Sequence[int],
        segmenter: AttributeSegmenter,
        head_width: Width = 32,
        group: Annotated[int, Field(gt=0, le=1024)] = 4,
        convolutions: Literal[1, 2] = 2,
    ) -> None:
        super().__init__(list(widths), group, convolutions)
        if not isinstance(segmenter.network, SmallSegmenter):
            raise ProganError(
                f"segmenter: found a {type(segmenter.network).__name__}, expected a SmallSegmenter, whose features "
                "are small enough to look at in every step"
            )
        self.segmenter = segmenter.requires_grad_(False).eval()
        self.resolution = 4 * 2 ** (len(self.inputs) - 1)
        resolutions = [self.resolution // factor for factor in (2, 4, 8)]
        pairs = zip(segmenter.network.widths, resolutions, strict=True)
        self.heads = nn.ModuleList(FeatureHead(channels, resolution, head_width) for channels, resolution in pairs)

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """Set the mode of all but the segmenter, whose statistics stay."""
        super().train(mode)
        self.segmenter.eval()
        return self

    def forward(self, images: Tensor, stage: int, alpha: float = 1.0) -> Tensor:
        """Score images (B, 3, R, R) of R = 4 * 2^stage pixels, which the segmenter sees at full size.

        Returns (B, 4) logits: by pixels, and by the segmenter's features at half, quarter and eighth resolution.
        ``alpha`` is as in :class:`gan.progan.growing.ProganDiscriminator`; raises ProganError at another resolution.
        """
        by_pixels = super().forward(images, stage, alpha)
        if images.shape[-1] != self.resolution:
            images = F.interpolate(
                images, size=(self.resolution, self.resolution), mode="bilinear", align_corners=False
            )
        maps = self.segmenter.network.features(self.segmenter.normalised(images))
        by_features = [head(each) for head, each in zip(self.heads, maps, strict=True)]
        return torch.stack([by_pixels, *by_features], dim=1)
