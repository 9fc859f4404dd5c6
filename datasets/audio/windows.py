"""Windows of spectrograms: the part of a long caption that a model is given, cut by a worker or on the device.

Shape letters: B signals, N samples, T frames, M mel bands.
"""

import torch
from torch import Tensor

from datasets.audio.log_mel import PAD_DB, FeatureError, Features, log_mel


def cut(values: Tensor, length: int | None, random_window: bool = False) -> Tensor:
    """Return a window (M, min(T, length)) of (M, T): the first frames, or a random one (see :func:`window_start`)."""
    start = window_start(values.shape[-1], length, random_window)
    return values if length is None else values[:, start : start + length]


def window_start(frames: int, length: int | None, random_window: bool = False) -> int:
    """Choose the first frame of the window that :func:`cut` keeps; torch's generator is used only for a choice.

    A random start (training of surisdi/learning-by-drawing) is in 0..frames-length-1, the published range, so the last
    window is never taken. A ``length`` of None keeps everything.
    """
    if length is None or frames <= length or not random_window:
        return 0
    return int(torch.randint(0, frames - length, ()))


def device_features(batch: dict[str, Tensor], length: int | None = None) -> Features:
    """Return the features that workers would have made, of a batch that was loaded with ``features: device``.

    Args:
        batch: Holds ``waveform`` (B, N), ``nsamples`` (B,), and the window of each row that the dataset chose: its
            first frame ``start`` (B,) and its frames ``nframes`` (B,).
        length: Frames to pad to with 0 dB, the loader's ``target_length``; None keeps as many as the waveforms make.

    Returns:
        Values (B, M, length) with 0 dB behind a row's end, and the frame counts, on the batch's device.

    Raises:
        FeatureError: They are not finite.
    """
    values, _ = log_mel(batch["waveform"], batch["nsamples"])
    bad = (~values.sum((1, 2)).isfinite()).nonzero()[:, 0].tolist()
    if bad:  # the workers look too, before a row is given: check_usable_waveform
        raise FeatureError(
            f"the log-mels of rows {bad} of the batch are not finite: samples are too large for float32 to hold their "
            "power; record or convert them again"
        )
    steps = torch.arange(length or values.shape[-1], device=values.device)
    frames = (batch["start"][:, None] + steps).clamp(max=values.shape[-1] - 1)
    window = values.gather(2, frames[:, None].expand(-1, values.shape[1], -1))
    behind = steps >= batch["nframes"][:, None]
    return Features(window.masked_fill_(behind[:, None], PAD_DB), batch["nframes"])
