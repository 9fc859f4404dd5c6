"""Log-mels of spoken captions, from files and from samples, against the librosa pipeline of the published systems.

    OMP_NUM_THREADS=1 python -m benchmarks.logmel --captions 1000

The captions are synthetic, so that nothing is needed. librosa is the baseline only, and in no other requirements:
``pip install -r benchmarks/requirements.txt``.
"""

import argparse
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
import torch
from torch import Tensor

from benchmarks.sounds import speech_like
from benchmarks.table import Row, best_time, best_times, options, print_table
from datasets.audio.log_mel import log_mel
from datasets.audio.read import SAMPLE_RATE, read_audio

try:
    import librosa
except ImportError:  # main() says what to do; --help needs none
    librosa = None

DISTINCT = 50  # files on disk; each is read again until the number of captions is reached
WINDOW = scipy.signal.windows.hamming(400, sym=True)


@functools.cache
def filters() -> np.ndarray:
    """Return the mel filters of librosa, (40, 201)."""
    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=40, fmin=20)


def librosa_features(samples: np.ndarray) -> np.ndarray:
    """Compute the published steps in librosa's calls, (40, T) dB, of ``samples`` (n,) at 16 kHz."""
    samples = samples - samples.mean()
    samples = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    spectrum = librosa.stft(samples, n_fft=400, hop_length=160, win_length=400, window=WINDOW, pad_mode="reflect")
    return librosa.power_to_db(np.dot(filters(), np.abs(spectrum) ** 2), ref=np.max)


def librosa_file(path: Path) -> np.ndarray:
    """Decode ``path``, mix down, resample and compute with librosa, (40, T) dB."""
    return librosa_features(librosa.load(path, sr=SAMPLE_RATE)[0])


def our_file(path: Path) -> Tensor:
    """Compute the same of ``path`` through datasets/, (40, T) dB."""
    return log_mel(torch.from_numpy(read_audio(path))).values


def in_turns(ours: Callable[[Any], object], theirs: Callable[[Any], object], items: list, repeats: int) -> list[float]:
    """Time both over all items, 20 at a time in turns, so that other programs disturb both alike; seconds of each."""
    totals = [0.0, 0.0]
    for at in range(0, len(items), 20):
        part = items[at : at + 20]
        ways = (lambda f=function, part=part: [f(item) for item in part] for function in (ours, theirs))
        for which, seconds in enumerate(best_times(*ways, repeats=repeats)):
            totals[which] += seconds
    return totals


def file_rows(folder: Path, args: argparse.Namespace) -> list[Row]:
    """Measure from files in ``folder``: decode, resample, features; the two must agree within 0.1 dB."""
    rows = []
    for rate, suffix in ((16000, "wav"), (44100, "wav"), (44100, "mp3")):
        paths = [folder / f"{rate}_{i}.{suffix}" for i in range(min(DISTINCT, args.captions))]
        for seed, path in enumerate(paths):
            soundfile.write(path, speech_like(args.seconds, rate, seed), rate)
        paths = [paths[i % len(paths)] for i in range(args.captions)]
        difference = np.abs(our_file(paths[0]).numpy() - librosa_file(paths[0])).max()
        if difference > 0.1:
            raise RuntimeError(f"The two pipelines differ by {difference:.3f} dB on {paths[0].name}; one has an error.")
        ours, theirs = in_turns(our_file, librosa_file, paths, args.repeats)
        rows.append(Row(f"files, {rate} Hz {suffix}", ours, theirs, note="decode, resample, features"))
    return rows


def feature_rows(args: argparse.Namespace) -> list[Row]:
    """Measure from samples, as ``args`` say: features alone, one by one and in batches, on CPU and GPU."""
    waves = np.stack([speech_like(args.seconds, SAMPLE_RATE, seed) for seed in range(DISTINCT)])
    waves = waves[np.arange(args.captions) % DISTINCT]
    batch = torch.from_numpy(waves)
    alone, baseline = in_turns(
        lambda wave: log_mel(torch.from_numpy(wave)), librosa_features, list(waves), args.repeats
    )
    batched = best_time(lambda: [log_mel(part) for part in batch.split(32)], args.repeats)
    rows = [
        Row("features, one by one", alone, baseline),
        Row("features, batches of 32", batched, baseline),
    ]
    if torch.cuda.is_available():
        there = batch.cuda()
        seconds = best_time(lambda: [log_mel(part) for part in there.split(500)], args.repeats, "cuda")
        whole = best_time(lambda: log_mel(batch.cuda()).values, args.repeats, "cuda")
        rows.append(Row("features, batches of 500, GPU", seconds, baseline, note=torch.cuda.get_device_name()))
        rows.append(Row("with the copy to the GPU", whole, baseline))
    return rows


def transform_rows(args: argparse.Namespace) -> list[Row]:
    """Measure the transform alone, as ``args`` say, to show why it is ``torch.fft.rfft``; baseline ``torch.stft``."""
    signal = torch.from_numpy(speech_like(args.seconds, SAMPLE_RATE, 0))
    window = torch.from_numpy(WINDOW).float()
    angle = 2 * torch.pi / 400 * torch.arange(400.0, dtype=torch.float64)[:, None] * torch.arange(201)
    basis = (torch.cat([angle.cos(), -angle.sin()], 1) * window[:, None]).float()
    frames = signal.unfold(0, 400, 160)
    ways = {
        "transform: torch.fft.rfft": lambda: torch.fft.rfft(frames * window),
        "transform: matrix product": lambda: frames @ basis,
        "transform: torch.stft": lambda: torch.stft(signal, 400, 160, window=window, center=False, return_complex=True),
    }
    times = dict(zip(ways, best_times(*ways.values(), repeats=20 * args.repeats), strict=True))
    baseline = times["transform: torch.stft"]
    return [Row(name, seconds, baseline, note="one caption") for name, seconds in times.items()]


def main() -> None:
    """Read the sizes, measure, print the table."""
    args = options(
        __doc__,
        {
            "captions": (1000, "how many captions"),
            "seconds": (6.0, "length of a caption"),
            "repeats": (2, "timed calls, the best counts"),
        },
    )
    if librosa is None:
        raise SystemExit("librosa, the baseline, is not installed: pip install -r benchmarks/requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        rows = file_rows(Path(folder), args)
    rows += feature_rows(args) + transform_rows(args)
    title = f"Log-mels of {args.captions} captions of {args.seconds} s, {args.threads} thread(s); baseline librosa"
    print_table(title, rows)


if __name__ == "__main__":
    main()
