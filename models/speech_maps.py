"""The output of every speech and text encoder: a sequence of features and the number of valid frames.

Shape letters: B items, D embedding size, T frames before and T' frames after pooling.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor


class SpeechMaps(NamedTuple):
    """Features of a batch of captions."""

    features: Tensor  # ``(B, D, T')`` float
    nframes: Tensor  # ``(B,)`` int64, valid frames of each item among T' (the rest comes from padding)
    pooling: int | None = None  # input frames that each of the T' covers; None where T' counts words
    # further losses () of the encoder itself by name, which training adds to its own
    losses: Mapping[str, Tensor] = MappingProxyType({})
    notes: Mapping[str, Tensor] = MappingProxyType({})  # further numbers () by name, for the log


def frame_mask(nframes: Tensor, frames: int) -> Tensor:
    """Return (B, 1, T) bool, true on the first ``nframes`` (B,) frames of each item."""
    return (torch.arange(frames, device=nframes.device) < nframes[:, None]).unsqueeze(1)


def pooled_lengths(nframes: Tensor | None, frames_in: int, frames_out: int, batch: int | None = None) -> Tensor | None:
    """Return frame counts (B,) int64 after pooling: ``floor(nframes / round(T / T'))``, as in both published systems.

    They are at most T'; a caption shorter than one pooled frame gets 0 (the similarity functions take at least one
    frame). With ``nframes`` None all frames are valid: T' for each of ``batch`` items, or None without ``batch``. A
    padded length, T or T', below one is a ValueError.
    """
    if frames_in < 1 or frames_out < 1:
        raise ValueError(f"Pooled lengths need at least one frame each, got {frames_in} in, {frames_out} out.")
    if nframes is None:
        return None if batch is None else torch.full((batch,), frames_out, dtype=torch.int64)
    ratio = pooling_ratio(frames_in, frames_out)
    return torch.div(nframes.long(), ratio, rounding_mode="floor").clamp(max=frames_out)


def pooling_ratio(frames_in: int, frames_out: int) -> int:
    """Return how many of ``frames_in`` frames each of ``frames_out`` covers, ``round(T / T')`` and at least 1."""
    return max(1, round(frames_in / frames_out))


def speech_maps(features: Tensor, nframes: Tensor | None, frames_in: int) -> SpeechMaps:
    """Pair features ``(B, D, T')`` with the frame counts of :func:`pooled_lengths`, on their device."""
    lengths = pooled_lengths(nframes, frames_in, features.shape[-1], batch=features.shape[0])
    return SpeechMaps(features, lengths.to(features.device), pooling_ratio(frames_in, features.shape[-1]))
