"""BigGAN's discriminator (arXiv:1809.11096), whose logit contains a projection on the class (arXiv:1802.05637).

Must match ajbrock/BigGAN-PyTorch ``BigGAN.py`` (parity kind ``biggan_discriminator``). Shape letters: B images, C
channels, H, W height and width of a map, R height and width of the images.
"""

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Depth, Resolution, Width
from gan.biggan.generator import Epsilon
from gan.biggan.layers import BigganError, SelfAttention, SpectralConv, SpectralEmbedding, SpectralLinear, initialise

PUBLISHED_WIDTHS = {  # multiples of the width behind each block; only the last does not halve the resolution
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),  # of the paper's table 6; the public code has none
    32: (4, 4, 4, 4),  # here the last two blocks do not
}


def published_widths(resolution: int, width: int = 96) -> list[int]:
    """Return the channels behind each block of the published table.

    Args:
        resolution: of the images, 32, 64, 128, 256 or 512 pixels.
        width: channels that the table multiplies (``D_ch``).

    Raises:
        BigganError: the table has no such resolution.
    """
    if resolution not in PUBLISHED_WIDTHS:
        raise BigganError(f"found resolution {resolution}, expected one of {sorted(PUBLISHED_WIDTHS)}")
    return [width * multiple for multiple in PUBLISHED_WIDTHS[resolution]]


class DiscriminatorBlock(nn.Module):
    """Apply two convolutions beside a shortcut, halve the resolution and attend (both in some blocks).

    The ``first`` block of a network has no activation before its first convolution, and pools before its shortcut.
    """

    def __init__(
        self, channels: int, out_channels: int, first: bool, downsample: bool, attention: bool, wide: bool, eps: float
    ) -> None:
        super().__init__()
        hidden = out_channels if wide else channels
        self.first, self.downsample = first, downsample
        self.conv1 = SpectralConv(channels, hidden, eps=eps)
        self.conv2 = SpectralConv(hidden, out_channels, eps=eps)
        learns = downsample or channels != out_channels
        self.shortcut = SpectralConv(channels, out_channels, 1, eps=eps) if learns else nn.Identity()
        self.attention = SelfAttention(out_channels, eps) if attention else None

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, O, H, W), or (B, O, H/2, W/2)."""
        hidden = self._pooled(self.conv2(F.relu(self.conv1(maps if self.first else F.relu(maps)))))
        shortcut = self.shortcut(self._pooled(maps)) if self.first else self._pooled(self.shortcut(maps))
        hidden = hidden + shortcut
        return hidden if self.attention is None else self.attention(hidden)

    def _pooled(self, maps: Tensor) -> Tensor:
        return F.avg_pool2d(maps, 2) if self.downsample else maps


class BigganDiscriminator(nn.Module):
    """Score whether images of classes are real.

    Args:
        resolution: R.
        widths: channels behind each block, see :func:`published_widths`.
        num_classes: classes of images; 1 for none.
        attention: resolutions in pixels behind the blocks that end with attention.
        downsamples: how many of the first blocks halve the resolution; by default all but the last.
        wide: a block's inner maps have its outer width, as in BigGAN; otherwise its inner one, as in SN-GAN.
        spectral_eps: of the spectral norms.

    Raises:
        BigganError: the resolution cannot be halved so often, or no block has the attention's resolution.
    """

    def __init__(
        self,
        resolution: Resolution,
        widths: Annotated[list[Width], Field(min_length=1, max_length=12)],
        num_classes: Width = 1000,
        attention: list[Resolution] | None = None,
        downsamples: Depth | None = None,
        wide: bool = True,
        spectral_eps: Epsilon = 1e-6,
    ) -> None:
        super().__init__()
        halvings = len(widths) - 1 if downsamples is None else downsamples
        if halvings > len(widths) or resolution % 2**halvings:
            raise BigganError(
                f"images of {resolution} pixels cannot be halved {halvings} times in {len(widths)} blocks"
            )
        behind = [resolution // 2 ** min(number, halvings) for number in range(1, len(widths) + 1)]
        unknown = [one for one in attention or [] if one not in behind]
        if unknown:
            raise BigganError(f"attention was asked at {unknown[0]} pixels, but blocks end with {behind}")
        self.resolution, self.num_classes = resolution, num_classes
        self.blocks = nn.Sequential(
            *(
                DiscriminatorBlock(
                    channels,
                    out,
                    number == 0,
                    number < halvings,
                    behind[number] in (attention or []),
                    wide,
                    spectral_eps,
                )
                for number, (channels, out) in enumerate(zip([3, *widths], widths, strict=False))
            )
        )
        self.logit = SpectralLinear(widths[-1], 1, eps=spectral_eps)
        self.classes = SpectralEmbedding(num_classes, widths[-1], eps=spectral_eps)
        initialise(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return logits (B,) of images (B, 3, R, R) in [-1, 1] and their classes (B,) int64.

        Raises BigganError at another resolution or number of classes.
        """
        if images.shape[1:] != (3, self.resolution, self.resolution) or classes.shape != images.shape[:1]:
            raise BigganError(
                f"found images {tuple(images.shape)} and classes {tuple(classes.shape)}, expected "
                f"(B, 3, {self.resolution}, {self.resolution}) and (B,)"
            )
        features = F.relu(self.blocks(images)).sum(dim=(2, 3))
        return self.logit(features)[:, 0] + (self.classes(classes) * features).sum(dim=1)
