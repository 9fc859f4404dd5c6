"""Sounds to measure on, so that a benchmark needs no data."""

import numpy as np
import scipy.signal


def speech_like(seconds: float, rate_hz: int, seed: int) -> np.ndarray:
    """Return noise (N,) float32 with the slope and the pauses of speech."""
    rng = np.random.default_rng(seed)
    noise = scipy.signal.lfilter([1.0], [1.0, -0.9], rng.normal(size=int(seconds * rate_hz)))
    syllables = np.clip(np.sin(2 * np.pi * 4 * np.arange(len(noise)) / rate_hz + seed), 0, 1)
    return (0.1 * noise * syllables).astype(np.float32)
