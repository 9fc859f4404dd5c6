"""A small image encoder for the matching model of AttnGAN (models/damsm.py), for images of 32 to 128 pixels on a CPU.

Shape letters: B images, D embedding size, R resolution of an image, W width of the first stage.
"""

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Width
from models.batch_norm import BatchNorm
from models.damsm import EncodedImages, EncoderInputError
from models.small import ImageStage


class SmallRegionEncoder(nn.Module):
    """Residual convolutions whose map is projected as regions, and whose mean after one more stage as the whole image.

    Args:
        embedding_dim: D.
        width: W; each later stage has twice as many channels.
        stages: number of halvings before the regions: 3 turn 64 pixels into 8 x 8 regions.
    """

    def __init__(
        self, embedding_dim: Width = 128, width: Width = 32, stages: Annotated[int, Field(ge=1, le=6)] = 3
    ) -> None:
        super().__init__()
        self.embedding_dim, self.downsample = embedding_dim, 2**stages
        widths = [width * 2**stage for stage in range(stages + 1)]
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.stem_norm = BatchNorm(width)
        self.stages = nn.Sequential(*(ImageStage(a, b) for a, b in pairwise(widths)))
        self.region = nn.Conv2d(widths[-1], embedding_dim, 1, bias=False)
        self.top = ImageStage(widths[-1], 2 * widths[-1])
        self.image = nn.Linear(2 * widths[-1], embedding_dim)

    def forward(self, images: Tensor) -> EncodedImages:
        """Encode images (B, 3, R, R) in [-1, 1], others are EncoderInputErrors."""
        if images.dim() != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 2 * self.downsample:
            raise EncoderInputError(
                f"found images {tuple(images.shape)}, expected (B, 3, R, R) of at least {2 * self.downsample} pixels"
            )
        maps = self.stages(F.relu(self.stem_norm(self.stem(images.contiguous(memory_format=torch.channels_last)))))
        return EncodedImages(self.region(maps), self.image(self.top(maps).mean(dim=(2, 3))))
