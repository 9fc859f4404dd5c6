"""A generator of one stage, in the manner of DF-GAN (arXiv:2008.05865, ``NetG`` of tobran/DF-GAN).

Every block scales and shifts its maps by what the sentence (and here the noise, too) says; there is no attention to
single words and no stage of images in between, so it costs a fraction of AttnGAN's. It is called like
:class:`gan.attngan.generator.AttnganGenerator`, so that both are trained, sampled and served alike.

Shape letters: B captions, L words, D size of embeddings, Z size of the noise, C channels, H, W of a map, R of an image.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Resolution, Width
from gan.attngan.discriminators import SLOPE
from gan.attngan.generator import AttnganError, GeneratedBatch, check_inputs

FIRST_RESOLUTION = 4


class Affine(nn.Module):
    """Scale and shift each channel by numbers that follow from a condition of ``condition_dim`` numbers."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.scale, self.shift = (
            nn.Sequential(nn.Linear(condition_dim, channels), nn.ReLU(), nn.Linear(channels, channels))
            for _ in range(2)
        )
        for layers, start in ((self.scale, 1.0), (self.shift, 0.0)):
            nn.init.zeros_(layers[-1].weight)
            nn.init.constant_(layers[-1].bias, start)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Change maps (B, C, H, W) as conditions (B, K) say."""
        return self.scale(condition)[:, :, None, None] * maps + self.shift(condition)[:, :, None, None]


class Fusion(nn.Module):
    """Two affine changes, each followed by a leaky ReLU, before each of two convolutions, added to the identity."""

    def __init__(self, channels: int, out_channels: int, condition_dim: int) -> None:
        super().__init__()
        widths = (channels, channels, out_channels, out_channels)
        self.affine = nn.ModuleList(Affine(width, condition_dim) for width in widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, out_channels, 3, padding=1) for a in (channels, out_channels)
        )  # fmt: skip
        self.shortcut = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, C', H, W)."""
        changed = maps
        for number, conv in enumerate(self.convs):
            for affine in self.affine[2 * number : 2 * number + 2]:
                changed = F.leaky_relu(affine(changed, condition), SLOPE)
            changed = conv(changed)
        return self.shortcut(maps) + self.share * changed


class OneStageGenerator(nn.Module):
    """Generate images of one resolution from noise and the embedding of a sentence.

    Args:
        resolution: R, a power of two from 8 on.
        width: channels of the map that becomes the image; each block before has twice as many, 8 times at most.
        embedding_dim: D.
        noise_dim: Z.

    Raises:
        AttnganError: the resolution is no power of two, or below 8.
    """

    def __init__(
        self, resolution: Resolution = 64, width: Width = 32, embedding_dim: Width = 256, noise_dim: Width = 100
    ) -> None:
        super().__init__()
        doublings = (resolution // FIRST_RESOLUTION).bit_length() - 1
        if doublings < 1 or resolution != FIRST_RESOLUTION * 2**doublings:
            raise AttnganError(f"a generator was asked for images of {resolution} pixels; expected 8, 16, 32, 64 ...")
        self.noise_dim, self.embedding_dim, self.resolutions = noise_dim, embedding_dim, [resolution]
        self.condition_dim = 0  # a sentence has no Gaussian of conditions here
        widths = [width * min(8, 2 ** (doublings - step)) for step in range(doublings + 1)]
        self.first = nn.Linear(noise_dim, widths[0] * FIRST_RESOLUTION**2)
        condition = embedding_dim + noise_dim
        self.blocks = nn.ModuleList(Fusion(a, b, condition) for a, b in pairwise(widths))
        self.image = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(widths[-1], 3, 3, padding=1), nn.Tanh())

    def forward(
        self, noise: Tensor, sentences: Tensor, words: Tensor, padding: Tensor, variation: Tensor | None = None
    ) -> GeneratedBatch:
        """Generate images.

        Args:
            noise: (B, Z), standard normal.
            sentences: (B, D).
            words: (B, D, L); their sentence alone is used.
            padding: (B, L) bool, true where there is no word.
            variation: (B, 0) or None, there is none.

        Raises:
            AttnganError: a size does not fit, or a caption has no word.
        """
        check_inputs(self, noise, sentences, words, padding, variation)
        condition = torch.cat((noise, sentences), dim=1)
        maps = self.first(noise).view(noise.shape[0], -1, FIRST_RESOLUTION, FIRST_RESOLUTION)
        for block in self.blocks:  # the first block works on 8 x 8
            maps = block(F.interpolate(maps, scale_factor=2.0), condition)
        nothing = noise.new_zeros(noise.shape[0], 0)
        return GeneratedBatch([self.image(maps)], [], nothing, nothing)
