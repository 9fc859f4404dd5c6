"""What every speech and text encoder returns: a sequence of features and the number of valid frames.

Shape letters: B items, D embedding size, T frames before and T' frames after pooling.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor


class SpeechMaps(NamedTuple):
    """Features of a batch of captions.

    Attributes:
        features: ``(B, D, T')`` float.
        nframes: ``(B,)`` int64, valid frames of each item among T' (the rest comes from padding).
        pooling: Input frames that each of the T' covers; None where T' counts words.
        losses: Further losses () of the encoder itself by name, which training adds to its own.
        notes: Further numbers () by name, for the log.
    """

    features: Tensor
    nframes: Tensor
    pooling: int | None = None
    losses: Mapping[str, Tensor] = MappingProxyType({})
    notes: Mapping[str, Tensor] = MappingProxyType({})


def frame_mask(nframes: Tensor, frames: int) -> Tensor:
    """Mask the first ``nframes`` frames of each item.

    Args:
        nframes: (B,) valid frames.
        frames: T.

    Returns:
        (B, 1, T) bool, true on valid frames.
    """
    return (torch.arange(frames, device=nframes.device) < nframes[:, None]).unsqueeze(1)


def pooled_lengths(nframes: Tensor | None, frames_in: int, frames_out: int, batch: int | None = None) -> Tensor | None:
    """Frame counts after pooling: ``floor(nframes / round(T / T'))``, as in both published speech systems.

    A caption shorter than one pooled frame gets 0; the similarity functions take at least one frame.

    Args:
        nframes: ``(B,)`` integers, valid frames before pooling, or None when all are valid.
        frames_in: T, padded length before pooling, frames.
        frames_out: T', padded length after pooling, frames.
        batch: B; with it, ``nframes=None`` gives T' for every item instead of None.

    Returns:
        ``(B,)`` int64 frame counts, at most T'; None when neither nframes nor batch is given.

    Raises:
        ValueError: A padded length is below one.
    """
    if frames_in < 1 or frames_out < 1:
        raise ValueError(f"Pooled lengths need at least one frame on both sides, got {frames_in} in, {frames_out} out.")
    if nframes is None:
        return None if batch is None else torch.full((batch,), frames_out, dtype=torch.int64)
    ratio = pooling_ratio(frames_in, frames_out)
    return torch.div(nframes.long(), ratio, rounding_mode="floor").clamp(max=frames_out)


def pooling_ratio(frames_in: int, frames_out: int) -> int:
    """Return how many of ``frames_in`` frames each of ``frames_out`` covers, ``round(T / T')`` and at least 1."""
    return max(1, round(frames_in / frames_out))


def speech_maps(features: Tensor, nframes: Tensor | None, frames_in: int) -> SpeechMaps:
    """Pair features with their pooled frame counts.

    Args:
        features: ``(B, D, T')``.
        nframes: ``(B,)`` valid frames before pooling, or None when all are valid.
        frames_in: T, padded length before pooling, frames.

    Returns:
        The maps; ``nframes`` lies on the device of ``features``.

    Raises:
        ValueError: A padded length is below one.
    """
    lengths = pooled_lengths(nframes, frames_in, features.shape[-1], batch=features.shape[0])
    return SpeechMaps(features, lengths.to(features.device), pooling_ratio(frames_in, features.shape[-1]))
