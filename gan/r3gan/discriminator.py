"""R3GAN's discriminator (arXiv:2501.05441): the generator's blocks in reverse, and a projection on the class.

Shape letters: B images, C channels, R height and width of the images, E size of a class's embedding.
"""

import math
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Width
from gan.r3gan.generator import Depths, Widths, check_classes, depths_of
from gan.r3gan.layers import FIRST_RESOLUTION, Downsample, R3ganError, ResidualBlock, class_embedding, draw_weights


class R3ganDiscriminator(nn.Module):
    """Score whether images of classes are real.

    Args:
        widths: channels at 4, 8, 16 ... cells, as those of the generator.
        num_classes: classes of images; 1 for none.
        class_dim: E, numbers that are compared with the class.
        blocks: residual blocks of each resolution; one of each by default.
        expansion: see :class:`gan.r3gan.generator.R3ganGenerator`, as the next two.
        group_width: channels of a group.
        patch: height and width in pixels of the squares of the image that the first maps stand for.

    Raises:
        R3ganError: there is another number of blocks than of widths, or widths are not divisible into groups.
    """

    def __init__(
        self,
        widths: Widths,
        num_classes: Width = 1,
        class_dim: Width = 64,
        blocks: Depths | None = None,
        expansion: Annotated[int, Field(gt=0, le=16)] = 2,
        group_width: Width = 16,
        patch: Literal[1, 2, 4] = 1,
    ) -> None:
        super().__init__()
        depths = depths_of(widths, blocks)
        self.num_classes, self.patch = num_classes, patch
        self.resolution = FIRST_RESOLUTION * 2 ** (len(widths) - 1) * patch
        size = 1 if patch == 1 else 3
        self.input = nn.Conv2d(3 * patch**2, widths[-1], size, padding=size // 2)
        stages: list[nn.Module] = []
        for stage in reversed(range(len(widths))):
            made = [ResidualBlock(widths[stage], expansion, group_width, sum(depths)) for _ in range(depths[stage])]
            stages.append(nn.Sequential(*made, *([Downsample(widths[stage], widths[stage - 1])] if stage else [])))
        self.stages = nn.Sequential(*stages)
        self.basis = nn.Conv2d(widths[0], widths[0], FIRST_RESOLUTION, groups=widths[0], bias=False)
        self.features = nn.Linear(widths[0], class_dim, bias=False)
        self.classes = class_embedding(num_classes, class_dim)
        for layer in (self.input, self.basis, self.features):
            draw_weights(layer)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return logits (B,) of images (B, 3, R, R), about -1 to 1, and their classes (B,) int64.

        Raises R3ganError at another resolution or number of classes.
        """
        if images.shape[1:] != (3, self.resolution, self.resolution):
            raise R3ganError(
                f"found images {tuple(images.shape)}, expected (B, 3, {self.resolution}, {self.resolution})"
            )
        check_classes(classes, len(images), self.num_classes)
        maps = self.stages(self.input(F.pixel_unshuffle(images, self.patch)))
        features = self.features(self.basis(maps).flatten(1))
        return (features * self.classes(classes)).sum(dim=1) / math.sqrt(self.classes.embedding_dim)
