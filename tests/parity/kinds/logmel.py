"""Log-mel features of WAV files, and the fine spectrogram of the drawing scripts."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import soundfile
import torch
from torch import Tensor

from datasets.audio import log_mel as features
from datasets.audio import read as audio
from datasets.audio import windows
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """For each waveform its resampled samples, its log-mels, its fine spectrogram and the edges under zero padding."""
    chosen = {"samples": _resampled, "log-mel": _log_mel, "rawspec": _fine, "edges": _edges}
    found: Groups = {}
    for waveform in case.hyper["waveforms"]:
        name = waveform["name"]
        read = cache(partial(_samples, case, name, waveform["sample_rate"]))
        for what, compute in chosen.items():
            found[f"{name} {what}"] = partial(_named, name, compute, case.hyper, read, waveform["sample_rate"])
    return found


def _named(name: str, compute: Callable[..., Arrays], hyper: dict, read: Callable[[], Tensor], rate: int) -> Arrays:
    return {f"{key}_{name}": value for key, value in compute(hyper, read(), rate).items()}


def _samples(case: Case, name: str, rate: int) -> Tensor:
    """The waveform, written as 16-bit WAV and read back."""
    path = case.folder / f"{name}.wav"
    soundfile.write(path, case.input(f"pcm_{name}"), rate, subtype="PCM_16")
    return torch.from_numpy(audio.read_audio(path, case.hyper["sample_rate"], allow_silence=True))


def _resampled(hyper: dict, samples: Tensor, rate: int) -> Arrays:
    return {"resampled": samples.numpy()} if rate != hyper["sample_rate"] else {}


def _log_mel(hyper: dict, samples: Tensor, _rate: int) -> Arrays:
    settings = {
        "bands": hyper["n_mels"],
        "f_min": hyper["fmin"],
        "sample_rate": hyper["sample_rate"],
        "f_max": hyper["sample_rate"] / 2,
        "window": hyper["win_length"],
        "hop": hyper["hop_length"],
        "n_fft": hyper["n_fft"],
        "preemphasis": hyper["preemphasis"],
        "top_db": hyper["top_db"],
    }
    values, nframes = features.log_mel(samples, **settings)
    return {
        "logmel_surisdi": values.numpy(),
        "logmel_wnhsu": values.numpy(),
        "n_frames": np.asarray(int(nframes)),
        "n_frames_truncated": np.asarray(windows.cut(values, hyper["truncate_to"]).shape[1]),
    }


def _fine(hyper: dict, samples: Tensor, _rate: int) -> Arrays:
    raw = hyper["raw_conf"]
    fine = features.log_spectrogram(
        samples,
        window=int(raw["sample_rate"] * raw["window_size"]),
        hop=int(raw["sample_rate"] * raw["window_stride"]),
        n_fft=raw["n_fft"],
        preemphasis=hyper["preemphasis"],
        top_db=hyper["top_db"],
    ).values
    strided = fine[:: hyper["raw_freq_stride"], :: hyper["raw_frame_stride"]]
    return {"rawspec": strided.numpy(), "rawspec_shape": np.asarray(fine.shape)}


def _edges(hyper: dict, samples: Tensor, _rate: int) -> Arrays:
    return {"logmel_constantpad_edges": _zero_padded_edges(samples, hyper).numpy()}


def _zero_padded_edges(samples: Tensor, hyper: dict) -> Tensor:
    """First and last four frames with zeros around the signal: what the project does not do, for comparison only."""
    centred = samples - samples.mean()
    emphasised = torch.cat([centred[:1], centred[1:] - hyper["preemphasis"] * centred[:-1]])
    window = torch.hamming_window(hyper["win_length"], periodic=False)
    spectrum = torch.stft(
        emphasised,
        hyper["n_fft"],
        hyper["hop_length"],
        hyper["win_length"],
        window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    rate = hyper["sample_rate"]
    bands = features.mel_filterbank(hyper["n_mels"], hyper["n_fft"], rate, hyper["fmin"], rate / 2)
    level = 10 * torch.log10((bands.T @ spectrum.abs().square()).clamp(min=hyper["amin"]))
    level = (level - level.max()).clamp(min=-hyper["top_db"])
    return torch.cat([level[:, :4], level[:, -4:]], 1)
