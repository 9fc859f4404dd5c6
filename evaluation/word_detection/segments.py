"""Codes as stretches of time: which frames a stretch touches, and where the same code goes on.

As wnhsu/ResDAVEnet-VQ cuts them (``steps/alignment.py``). Shape letters: W stretches, T' frames.
"""

import numpy as np


def frames_between(
    starts: np.ndarray, ends: np.ndarray, seconds: float, limit: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (first, behind the last), (W,) int64 each, that stretches of time touch.

    As published these are ``floor(start / s)`` to before ``ceil(end / s)``, where each frame covers s ``seconds`` and
    ``limit`` frames are there, (W,) or one number for all; starts and ends are (W,) in seconds.
    """
    first = np.floor(np.asarray(starts) / seconds).clip(0, limit)
    last = np.ceil(np.asarray(ends) / seconds).clip(0, limit)
    return first.astype(np.int64), last.astype(np.int64)


def code_runs(codes: np.ndarray, seconds: float) -> list[tuple[float, float, int]]:
    """Return (start, end, code), in seconds, of each stretch of one code in ``codes`` (T',) of so many seconds each."""
    codes = np.asarray(codes)
    if len(codes) == 0:
        return []
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts, ends = np.r_[0, edges], np.r_[edges, len(codes)]
    return [
        (float(start * seconds), float(end * seconds), int(codes[start]))
        for start, end in zip(starts, ends, strict=True)
    ]
