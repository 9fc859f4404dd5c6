"""The discriminators of AttnGAN (arXiv:1711.10485): one for each resolution, with and without the sentence.

Must match taoxugit/AttnGAN ``code/model.py`` (``D_NET64``, ``D_NET128``, ``D_NET256``; parity kind
``attngan_discriminators``), but for its last sigmoid: scores are logits here.

Shape letters: B images, D size of a sentence's embedding, N width, R height and width of the images.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from config.limits import Resolution, Width
from gan.attngan.generator import AttnganError

SLOPE = 0.2  # of the leaky ReLUs
LAST_RESOLUTION = 4
LEAST_RESOLUTION = 64  # pixels: halved four times


def convolution(channels: int, out_channels: int, downsample: bool, norm: bool = True) -> nn.Sequential:
    """Return convolution, batch norm (with ``norm``) and leaky ReLU.

    ``downsample`` takes a 4 x 4 kernel that halves the resolution, otherwise a 3 x 3 one keeps it.
    """
    resolution, stride = (4, 2) if downsample else (3, 1)
    return nn.Sequential(
        nn.Conv2d(channels, out_channels, resolution, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels) if norm else nn.Identity(),
        nn.LeakyReLU(SLOPE),
    )


class Score(nn.Module):
    """Score the features of an image, of 8 N ``channels``, with a sentence of D numbers or, of 0, without one."""

    def __init__(self, channels: int, sentence_dim: int = 0) -> None:
        super().__init__()
        self.joint = convolution(channels + sentence_dim, channels, downsample=False) if sentence_dim else None
        self.logit = nn.Conv2d(channels, 1, LAST_RESOLUTION, stride=LAST_RESOLUTION)

    def forward(self, features: Tensor, sentences: Tensor | None = None) -> Tensor:
        """Return logits (B,) of features (B, 8 N, 4, 4), and sentences (B, D) where the score is of both."""
        if self.joint is not None:
            tiled = sentences[:, :, None, None].expand(-1, -1, LAST_RESOLUTION, LAST_RESOLUTION)
            features = self.joint(torch.cat((features, tiled), dim=1))
        return self.logit(features).flatten()


class Logits(NamedTuple):
    """Keep the logits (B,) that images are real."""

    fitting: Tensor  # given their sentences
    alone: Tensor | None  # without; None where the discriminator has no such score


class AttnganDiscriminator(nn.Module):
    """Score images of one resolution: whether they are real, and whether they fit a sentence too.

    Args:
        resolution: R, 64, 128, 256 ...
        width: N (DF_DIM): 64 for birds, 96 for COCO.
        embedding_dim: D.
        unconditional: with the logit without a sentence; the DCGAN variant has none.

    Raises:
        AttnganError: the resolution is not 64 times a power of two.
    """

    def __init__(
        self,
        resolution: Resolution,
        width: Width = 64,
        embedding_dim: Width = 256,
        unconditional: bool = True,
    ) -> None:
        super().__init__()
        further = math.log2(max(resolution, 1) / LEAST_RESOLUTION)
        if further < 0 or further != int(further):
            raise AttnganError(f"a discriminator was asked of images of {resolution} pixels; expected 64, 128, 256 ...")
        self.resolution = resolution
        widths = [width * 2**power for power in range(4 + int(further))]  # N, 2 N, 4 N, 8 N, 16 N ...
        layers = [convolution(3, width, downsample=True, norm=False)]
        layers += [convolution(a, b, downsample=True) for a, b in pairwise(widths)]
        layers += [convolution(a, a // 2, downsample=False) for a in widths[:3:-1]]
        self.features = nn.Sequential(*layers)
        self.with_sentence = Score(8 * width, embedding_dim)
        self.alone = Score(8 * width) if unconditional else None

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 8 N, 4, 4) of images (B, 3, R, R) in [-1, 1].

        Raises AttnganError at another resolution.
        """
        if images.shape[1:] != (3, self.resolution, self.resolution):
            raise AttnganError(
                f"found images {tuple(images.shape)}, expected (B, 3, {self.resolution}, {self.resolution})"
            )
        return self.features(images)

    def logits(self, features: Tensor, sentences: Tensor) -> Logits:
        """Score features (B, 8 N, 4, 4) with sentences (B, D), and alone."""
        return Logits(self.with_sentence(features, sentences), None if self.alone is None else self.alone(features))
