"""Vector quantisation of frames with codebooks that follow them by moving averages.

VQ-VAE with exponential moving averages (van den Oord et al., arXiv:1711.00937, appendix A.1) as ResDAVEnet-VQ has it
(Harwath, Hsu, Glass, arXiv:1911.09602; public code wnhsu/ResDAVEnet-VQ ``models/quantizers.py``): one codebook for a
layer, commitment loss, straight-through gradients, Laplace-smoothed counts. Statistics are those of all ranks.

Shape letters: B items, D channels, T frames, N = B * T, K codes.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from common import distributed
from config.limits import Positive, Weight, Width
from models.speech_maps import frame_mask

FRAMES_AT_ONCE = 65536  # distances of so many frames and 1,024 codes take 256 MB


@dataclass(frozen=True)
class CodebookConfig:
    """Settings of codebooks: how they start and follow their frames; as published by default.

    Attributes:
        commitment_cost: weight of the squared distance between a frame and its code.
        decay: share of the averages that stays at an update.
        epsilon: added to every count, so that none becomes zero.
        init_std: standard deviation of the first codes.
        nonneg_init: no first code has a negative component; what is quantised follows a ReLU.
        init_ema_mass: number of frames that the first codes count for.
        restart_below: codes whose average count falls below it start anew at frames of the batch; None as published:
            a code that nobody is near stays unused.
        kmeans_rounds: rounds of k-means that place the codes among the first training batch; 0 as published.
    """

    commitment_cost: Weight = 1.0
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    init_std: Positive = 1.0
    nonneg_init: bool = False
    init_ema_mass: Positive = 1.0
    restart_below: Positive | None = None
    kmeans_rounds: Annotated[int, Field(ge=0, le=10_000)] = 0


class Quantized(NamedTuple):
    """Quantised frames."""

    values: Tensor  # (B, D, T) the codes' vectors; in training with the gradient of what they stand for
    codes: Tensor  # (B, T) int64, the nearest code of every frame, padding included
    loss: Tensor  # () mean commitment loss of the valid frames of all ranks
    perplexity: Tensor  # () of the codes of the valid frames of all ranks, 1 to K


class VectorQuantizer(nn.Module):
    """A codebook of K ``codes`` of ``dim`` D that follows the frames which are nearest to each code."""

    def __init__(self, codes: Width, dim: Width, config: CodebookConfig = CodebookConfig()) -> None:
        super().__init__()
        self.config = config
        start = config.init_std * torch.randn(codes, dim)
        start = start.clamp(min=0) if config.nonneg_init else start
        self.register_buffer("codebook", start)
        self.register_buffer("sums", config.init_ema_mass * start)
        self.register_buffer("counts", torch.full((codes,), float(config.init_ema_mass)))
        self.register_buffer("placed", torch.tensor(config.kmeans_rounds == 0))

    def forward(self, frames: Tensor, nframes: Tensor | None = None) -> Quantized:
        """Replace every frame of (B, D, T) by its nearest code; in training, move the codes afterwards.

        ``nframes`` (B,) are the valid frames, all when None; padding counts neither in the loss nor in the codebook.
        """
        with torch.autocast(frames.device.type, enabled=False):
            rows = frames.to(torch.promote_types(frames.dtype, torch.float32)).transpose(1, 2)  # (B, T, D)
            valid = self._valid(rows, nframes)
            seen = rows.detach()[valid]
            if self.training and not self.placed:
                self._place_by_kmeans(seen)
            codes = self.nearest(rows.detach())
            values = self.codebook[codes]
            loss, perplexity = self._measures(rows, values, codes, valid)
            if self.training:
                values = rows + (values - rows).detach()
                self.ema_update(seen, codes[valid])
        return Quantized(values.transpose(1, 2).to(frames.dtype), codes, loss, perplexity)

    @staticmethod
    def _valid(rows: Tensor, nframes: Tensor | None) -> Tensor:
        """Return (B, T) bool, true on valid frames."""
        batch, frames = rows.shape[:2]
        if nframes is None:
            return torch.ones(batch, frames, dtype=torch.bool, device=rows.device)
        return frame_mask(nframes.to(rows.device), frames)[:, 0]

    @torch.no_grad()
    def nearest(self, frames: Tensor) -> Tensor:
        """Return the nearest code (...) int64 of every frame (..., D), the lowest among equals."""
        flat = frames.reshape(-1, frames.shape[-1])
        squares = self.codebook.square().sum(1)
        parts = [
            torch.addmm(squares, part, self.codebook.t(), alpha=-2).argmin(1) for part in flat.split(FRAMES_AT_ONCE)
        ]
        return torch.cat(parts).view(frames.shape[:-1])

    def _measures(self, rows: Tensor, values: Tensor, codes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return commitment loss and perplexity over the valid frames of all ranks."""
        count = distributed.sum_over_ranks(valid.sum().float()).clamp(min=1)
        squares = (values.detach() - rows).square().mean(2)
        loss = self.config.commitment_cost * distributed.sum_over_ranks((squares * valid).sum()) / count
        with torch.no_grad():
            shares = distributed.sum_over_ranks(self._counted(codes[valid])) / count
            perplexity = torch.exp(-(shares * torch.log(shares + 1e-10)).sum())
        return loss, perplexity

    def _counted(self, codes: Tensor) -> Tensor:
        """Return how often each code is there, (K,) float."""
        return torch.bincount(codes, minlength=len(self.codebook)).to(self.counts.dtype)

    def _summed(self, frames: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return of each code the count on all ranks (K,) and the sum of its frames (K, D); equal bits on each rank."""
        summed = torch.zeros_like(self.sums).index_add_(0, codes, frames)
        return distributed.sum_over_ranks(self._counted(codes)), distributed.sum_over_ranks(summed)

    @torch.no_grad()
    def ema_update(self, frames: Tensor, codes: Tensor) -> None:
        """Update the averages with the frames (N, D) and codes (N,) of all ranks; move every code to their mean."""
        config = self.config
        counts, summed = self._summed(frames, codes)
        self.counts.mul_(config.decay).add_(counts, alpha=1 - config.decay)
        total = self.counts.sum()
        self.counts.add_(config.epsilon).mul_(total / (total + len(self.counts) * config.epsilon))
        self.sums.mul_(config.decay).add_(summed, alpha=1 - config.decay)
        self.codebook.copy_(self.sums / self.counts[:, None])
        if config.restart_below is not None:
            self._restart(frames, config.restart_below)

    def _restart(self, frames: Tensor, least: float) -> None:
        """Move codes that nobody is near to frames evenly chosen from the batch, the same on every rank."""
        unused = self.counts < least
        number = int(unused.sum())
        if number == 0:
            return
        everyone = distributed.gather_uneven(frames)
        if len(everyone):
            self._put(unused.nonzero()[:, 0], everyone[_spread(len(everyone), number).to(frames.device)])

    def _put(self, codes: Tensor, starts: Tensor) -> None:
        """Let codes begin at ``starts`` as if they had just been made."""
        mass = float(self.config.init_ema_mass)
        self.codebook[codes], self.sums[codes], self.counts[codes] = starts, mass * starts, mass

    @torch.no_grad()
    def _place_by_kmeans(self, frames: Tensor) -> None:
        """Place all codes by k-means among the frames (N, D) of all ranks; codes without a frame stay."""
        everyone = distributed.gather_uneven(frames)
        if len(everyone) == 0:
            return
        size = len(self.codebook)
        self.codebook.copy_(everyone[_spread(len(everyone), size).to(frames.device)])
        for _ in range(self.config.kmeans_rounds):
            counts, summed = self._summed(frames, self.nearest(frames))
            self.codebook.copy_(torch.where(counts[:, None] > 0, summed / counts.clamp(min=1)[:, None], self.codebook))
        self._put(torch.arange(size, device=frames.device), self.codebook.clone())
        self.placed.fill_(True)


def _spread(count: int, number: int) -> Tensor:
    """Return ``number`` rows out of ``count``, evenly chosen; rows come again where there are too few."""
    return torch.arange(number) * count // number if number <= count else torch.arange(number) % count


class TemporalJitter(nn.Module):
    """In training, put the left or right neighbour instead of a frame, at the same frames in all samples of a rank.

    The left neighbour has ``probability``, 0 to one half, and so has the right one. ``published_jitter`` shifts by 0, 1
    and 2 as the public code does, instead of -1, 0 and 1: one frame to the right on average.
    """

    def __init__(self, probability: float = 0.12, published_jitter: bool = False) -> None:
        super().__init__()
        if not 0 <= probability <= 0.5:
            raise ValueError(f"found the jitter probability {probability}; expected 0 to 0.5, for each neighbour")
        self.probability, self.published_jitter = probability, published_jitter

    def forward(self, frames: Tensor) -> Tensor:
        """Jitter ``(B, D, T)`` in training."""
        if not self.training or self.probability == 0:
            return frames
        count = frames.shape[-1]
        weights = torch.tensor([self.probability, 1 - 2 * self.probability, self.probability])
        shifts = torch.multinomial(weights, count, replacement=True) - (0 if self.published_jitter else 1)
        starts = (torch.arange(count) + shifts).clamp(0, count - 1)
        return frames.index_select(-1, starts.to(frames.device))
