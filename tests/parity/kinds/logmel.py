"""Log-mel features of WAV files, and the fine spectrogram of the drawing scripts."""

import numpy as np
import soundfile
import torch

from datasets import audio, features
from tests.parity.case import Case


def run(case: Case) -> dict[str, np.ndarray]:
    """Write each waveform as 16-bit WAV, read it back and compute what the originals do."""
    outputs: dict[str, np.ndarray] = {}
    for waveform in case.hyper["waveforms"]:
        name, rate = waveform["name"], waveform["sample_rate"]
        path = case.folder / f"{name}.wav"
        soundfile.write(path, case.input(f"pcm_{name}"), rate, subtype="PCM_16")
        samples = torch.from_numpy(audio.read_audio(path, case.hyper["sample_rate"], allow_silence=True))
        if rate != case.hyper["sample_rate"]:
            outputs[f"resampled_{name}"] = samples.numpy()
        outputs |= {f"{key}_{name}": value for key, value in _outputs(case.hyper, samples).items()}
    return outputs


def _outputs(hyper: dict, samples: torch.Tensor) -> dict[str, np.ndarray]:
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
    raw = hyper["raw_conf"]
    fine = features.log_spectrogram(
        samples,
        window=int(raw["sample_rate"] * raw["window_size"]),
        hop=int(raw["sample_rate"] * raw["window_stride"]),
        n_fft=raw["n_fft"],
        preemphasis=hyper["preemphasis"],
        top_db=hyper["top_db"],
    ).values
    return {
        "logmel_surisdi": values.numpy(),
        "logmel_wnhsu": values.numpy(),
        "n_frames": np.asarray(int(nframes)),
        "n_frames_truncated": np.asarray(int(features.pad_or_cut(values, hyper["truncate_to"]).nframes)),
        "rawspec": fine[:: hyper["raw_freq_stride"], :: hyper["raw_frame_stride"]].numpy(),
        "rawspec_shape": np.asarray(fine.shape),
        "logmel_constantpad_edges": _zero_padded_edges(samples, hyper).numpy(),
    }


def _zero_padded_edges(samples: torch.Tensor, hyper: dict) -> torch.Tensor:
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
