"""A discriminator that also looks at images through a network trained on ImageNet (Projected GAN: arXiv:2111.01007).

Features of a trained network tell a generator much earlier than pixels alone what its images lack. The network stays as
it is; channels of its maps are mixed by fixed random weights, so that the discriminator cannot settle on a few of them
(section 3.2); a small head for each resolution scores them together with the class. Unlike in the paper the
discriminator of pixels stays, because a generator can please a network with patterns that people do not see.

Shape letters: B images, C channels, R height and width of the images, E size of a class's embedding.
"""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Width
from evaluation.feature_networks import EfficientnetFeatures
from gan.r3gan.discriminator import R3ganDiscriminator
from gan.r3gan.generator import Depths, Widths
from gan.r3gan.layers import FIRST_RESOLUTION, Downsample, R3ganError, ResidualBlock, class_embedding, draw_weights

STAGES = ((2, 24, 4), (4, 40, 8), (10, 112, 16))  # last block, channels and stride of EfficientNet-Lite0's maps


class EfficientnetMaps(nn.Module):
    """Encode images (B, 3, R, R) in [-1, 1] as maps of R/4, R/8 and R/16, at their own size; nothing is trained."""

    def __init__(self) -> None:
        super().__init__()
        network = EfficientnetFeatures().network
        self.stem, self.norm, self.activation = network._conv_stem, network._bn0, network._swish
        self.blocks = nn.ModuleList(list(network._blocks)[: STAGES[-1][0] + 1])
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "EfficientnetMaps":  # noqa: ARG002  its statistics stay
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return (B, 24, R/4, R/4), (B, 40, R/8, R/8) and (B, 112, R/16, R/16)."""
        maps = self.activation(self.norm(self.stem((images * 127.5 + 0.5) / 128)))  # (pixels - 127) / 128
        found, last = [], {block for block, _, _ in STAGES}
        for number, block in enumerate(self.blocks):
            maps = block(maps, 0)
            if number in last:
                found.append(maps)
        return found


class ProjectedHead(nn.Module):
    """Score maps (B, C, H, H) of a power of two from 4 on, with classes, by ``width`` mixed channels."""

    def __init__(self, channels: int, resolution: int, width: int, num_classes: int, class_dim: int) -> None:
        super().__init__()
        mixing = torch.randn(width, channels, 1, 1, generator=torch.Generator().manual_seed(channels))
        self.register_buffer("mixing", mixing / math.sqrt(channels))
        halvings = int(math.log2(resolution // FIRST_RESOLUTION))
        parts: list[nn.Module] = []
        for _ in range(halvings):
            parts += [ResidualBlock(width, 1, width, halvings + 1), Downsample(width, width)]
        self.blocks = nn.Sequential(*parts, ResidualBlock(width, 1, width, halvings + 1))
        self.basis = nn.Conv2d(width, width, FIRST_RESOLUTION, groups=width, bias=False)
        self.features = nn.Linear(width, class_dim, bias=False)
        self.classes = class_embedding(num_classes, class_dim)
        for layer in (self.basis, self.features):
            draw_weights(layer)

    def forward(self, maps: Tensor, classes: Tensor) -> Tensor:
        """Return logits (B,)."""
        features = self.features(self.basis(self.blocks(F.conv2d(maps, self.mixing))).flatten(1))
        return (features * self.classes(classes)).sum(dim=1) / math.sqrt(self.classes.embedding_dim)


class ProjectedR3ganDiscriminator(R3ganDiscriminator):
    """Score images of classes by their pixels and by EfficientNet-Lite0's features of three resolutions.

    Args:
        widths: see :class:`gan.r3gan.discriminator.R3ganDiscriminator`, as all but the next.
        head_width: channels of each head.
        num_classes: classes of images; 1 for none.
        class_dim: E.
        blocks: residual blocks of each resolution; one of each by default.
        expansion: channels within a block are so many times those outside.
        group_width: channels of a group.
        patch: height and width in pixels of the squares of the image that the first maps stand for.

    Raises:
        R3ganError: images are smaller than 64 pixels, of which the coarsest maps have 4 x 4 cells.
        GenerationError: the packages of requirements-metrics.txt are not installed.
    """

    def __init__(
        self,
        widths: Widths,
        head_width: Width = 64,
        num_classes: Width = 1,
        class_dim: Width = 64,
        blocks: Depths | None = None,
        expansion: Annotated[int, Field(gt=0, le=16)] = 2,
        group_width: Width = 16,
        patch: Literal[1, 2, 4] = 1,
    ) -> None:
        super().__init__(widths, num_classes, class_dim, blocks, expansion, group_width, patch)
        smallest = FIRST_RESOLUTION * STAGES[-1][2]
        if self.resolution < smallest:
            raise R3ganError(f"found images of {self.resolution} pixels, expected at least {smallest} for EfficientNet")
        self.trained = EfficientnetMaps()
        self.heads = nn.ModuleList(
            ProjectedHead(channels, self.resolution // stride, head_width, num_classes, class_dim)
            for _, channels, stride in STAGES
        )

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return logits (B, 4), by pixels and by each head; see :class:`gan.r3gan.discriminator.R3ganDiscriminator`."""
        by_pixels = super().forward(images, classes)
        by_features = [head(maps, classes) for head, maps in zip(self.heads, self.trained(images), strict=True)]
        return torch.stack([by_pixels, *by_features], dim=1)
