"""Codes as stretches of time: which frames a stretch touches, and where the same code goes on.

As wnhsu/ResDAVEnet-VQ cuts them (``steps/alignment.py``). Shape letters: W stretches, T' frames.
"""

import numpy as np


def frames_between(
    starts: np.ndarray, ends: np.ndarray, seconds: float, limit: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the frames that stretches of time touch, as published: ``floor(start / s)`` to before ``ceil(end / s)``.

    Args:
        starts: (W,) in seconds.
        ends: (W,) in seconds.
        seconds: s, that each frame covers.
        limit: (W,) frames that there are, or one number for all.

    Returns:
        The first frame (W,), and the one behind the last (W,), int64.
    """
    first = np.floor(np.asarray(starts) / seconds).clip(0, limit)
    last = np.ceil(np.asarray(ends) / seconds).clip(0, limit)
    return first.astype(np.int64), last.astype(np.int64)


def code_runs(codes: np.ndarray, seconds: float) -> list[tuple[float, float, int]]:
    """Return stretches of the same code one after the other.

    Args:
        codes: (T',).
        seconds: that each code covers.

    Returns:
        (start, end, code) of each, in seconds.
    """
    codes = np.asarray(codes)
    if len(codes) == 0:
        return []
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts, ends = np.r_[0, edges], np.r_[edges, len(codes)]
    return [
        (float(start * seconds), float(end * seconds), int(codes[start]))
        for start, end in zip(starts, ends, strict=True)
    ]
