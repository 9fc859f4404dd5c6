"""Small speech and image encoders that learn the embedded world on two CPU cores in minutes.

They have the interface of the published encoders (arXiv:1804.01452) and a hundredth of their cost. Batch norm, over all
ranks, is what makes triplet losses work from the first step: without it all items share one large mean embedding. In
evaluation padding is masked throughout, so that the features of an item do not depend on how far it was padded.

Shape letters: B items, D embedding size, T frames, T' pooled frames, C channels.
"""

import itertools
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Kernel, Width
from models.batch_norm import BatchNorm
from models.speech_maps import SpeechMaps, frame_mask, speech_maps

MEL_BINS = 40
DB_CENTRE = -40.0  # log-mels lie in [-80, 0] dB
DB_SCALE = 20.0


def embedding_projection(conv: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """Scale a fresh 1x1 convolution so that dot products of its unit-variance outputs start near one, not sqrt(D).

    Its weights are drawn anew in place, N(0, 1 / (C_in * sqrt(C_out))), and its bias is set to 0.
    """
    nn.init.normal_(conv.weight, std=conv.in_channels**-0.5 * conv.out_channels**-0.25)
    nn.init.zeros_(conv.bias)
    return conv


class SpeechStage(nn.Module):
    """A strided convolution that halves time, then a residual one, ``(B, C_in, T) -> (B, C, ceil(T/2))``."""

    def __init__(self, channels_in: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.down = nn.Conv1d(channels_in, channels, kernel, stride=2, padding=kernel // 2)
        self.down_norm = BatchNorm(channels)
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor, nframes: Tensor) -> tuple[Tensor, Tensor]:
        """Return features ``(B, C, ceil(T / 2))`` and their ``ceil(nframes / 2)`` valid frames; zero after these.

        The input ``(B, C_in, T)`` is zero after its ``nframes`` (B,) valid frames.
        """
        x = F.relu(self.down_norm(self.down(x)))
        nframes = (nframes + 1) // 2
        mask = frame_mask(nframes, x.shape[-1])
        x = x * mask
        return F.relu(x + self.norm(self.conv(x))) * mask, nframes


class SmallSpeechEncoder(nn.Module):
    """Residual 1-D convolutions on log-mels, time pooled by ``2 ** stages``.

    Args:
        embedding_dim: D.
        width: Channels of the first stage; the last has twice as many.
        stages: Number of halvings of time, 3 for one feature per 80 ms, 4 per 160 ms.
        kernel: Odd kernel size of every convolution, frames.

    Raises:
        ValueError: A size is below one or the kernel is even.
    """

    def __init__(
        self,
        embedding_dim: Width = 128,
        width: Width = 64,
        stages: Annotated[int, Field(gt=0, le=8)] = 3,
        kernel: Kernel = 5,
    ) -> None:
        super().__init__()
        if min(embedding_dim, width, stages) < 1 or kernel < 1 or kernel % 2 == 0:
            raise ValueError(
                "SmallSpeechEncoder needs positive embedding_dim, width and stages and an odd kernel, "
                f"got {embedding_dim}, {width}, {stages} and {kernel}."
            )
        self.embedding_dim = embedding_dim
        self.shift = nn.Parameter(torch.full((MEL_BINS, 1), -DB_CENTRE / DB_SCALE))
        self.scale = nn.Parameter(torch.ones(MEL_BINS, 1))
        widths = [MEL_BINS, *([width] * (stages - 1)), 2 * width]
        self.stages = nn.ModuleList(SpeechStage(a, b, kernel) for a, b in itertools.pairwise(widths))
        self.embedder = embedding_projection(nn.Conv1d(2 * width, embedding_dim, 1))

    def forward(self, mel: Tensor, nframes: Tensor | None = None) -> SpeechMaps:
        """Encode log-mels ``(B, 40, T)`` in dB as features ``(B, D, T')`` with pooled frame counts.

        ``nframes`` (B,) are the valid frames, all when None.
        """
        frames = mel.shape[-1]
        valid = mel.new_full((mel.shape[0],), frames, dtype=torch.int64) if nframes is None else nframes
        x = (mel / DB_SCALE * self.scale + self.shift) * frame_mask(valid, frames)
        for stage in self.stages:
            x, valid = stage(x, valid)
        return speech_maps(self.embedder(x), nframes, frames)


class ImageStage(nn.Module):
    """A strided 3x3 convolution that halves the map, then a residual one, ``(B, C_in, H, W) -> (B, C, H/2, W/2)``."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False)
        self.down_norm = BatchNorm(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, ceil(H / 2), ceil(W / 2))``, not negative."""
        x = F.relu(self.down_norm(self.down(x)))
        return F.relu(x + self.norm(self.conv(x)))


class SmallImageEncoder(nn.Module):
    """Residual 2-D convolutions; a 128-pixel image becomes an 8x8 map by default.

    Args:
        embedding_dim: D.
        width: Channels after the stem; each of two stages doubles them.
        downsample: Height and width of a map cell in image pixels: 16 for 128-pixel images, 8 for 64.

    Raises:
        ValueError: A size is below one or downsample is no multiple of 4.
    """

    def __init__(
        self, embedding_dim: Width = 128, width: Width = 32, downsample: Annotated[int, Field(gt=0, le=64)] = 16
    ) -> None:
        super().__init__()
        if min(width, embedding_dim) < 1 or downsample < 4 or downsample % 4:
            raise ValueError(
                "SmallImageEncoder needs positive width and embedding_dim and a downsample that is a multiple of 4, "
                f"got {width}, {embedding_dim} and {downsample}."
            )
        self.embedding_dim = embedding_dim
        stride = downsample // 4
        self.stem = nn.Conv2d(3, width, 2 * stride + 1, stride=stride, padding=stride, bias=False)
        self.stem_norm = BatchNorm(width)
        self.stages = nn.Sequential(ImageStage(width, 2 * width), ImageStage(2 * width, 4 * width))
        self.embedder = embedding_projection(nn.Conv2d(4 * width, embedding_dim, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Encode normalised images ``(B, 3, H, W)`` as maps ``(B, D, H', W')``."""
        image = image.contiguous(memory_format=torch.channels_last)  # a third less time on a CPU
        return self.embedder(self.stages(F.relu(self.stem_norm(self.stem(image)))))
