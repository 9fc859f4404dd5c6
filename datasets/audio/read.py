"""Sound files to mono float32 at one rate.

The published systems read with librosa; here soundfile decodes (wav, flac, ogg, mp3) and soxr (hq) resamples, as
librosa >= 0.10 does. A file that cannot be used is an error that names it, never a silent zero.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from common.errors import UserError
from datasets.audio.sound_streams import Stream, streams
from datasets.audio.truncation import BrokenOff, Joined
from datasets.file_names import not_there, shown_path

SAMPLE_RATE = 16000
BLOCK = 1 << 20  # values decoded at a time: what a header claims is never believed before it is there
BEHIND = 512  # samples asked for behind the last that is announced; libsndfile fills with zeros what it does not have
HIGHEST = 6_144_000  # Hz, of the fastest converters
LONGEST = 1 << 29  # samples that are taken: 9 hours at 16 kHz, 2 GiB


class AudioError(UserError):
    """A sound file that cannot be decoded, or holds no usable sound."""


class _Mono(NamedTuple):
    """A decoded recording: (n,) float32, its rate in Hz, and the widest range of several channels, 0 of one alone."""

    samples: np.ndarray
    rate: int
    swing: float


def resample(samples: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """Resample (n,) float32 with soxr's hq filter to ceil(n * target_rate / rate) samples (Hz), librosa's length."""
    if rate == target_rate:
        return samples
    length = math.ceil(len(samples) * target_rate / rate)
    resampled = soxr.resample(samples, rate, target_rate, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled))).astype(np.float32, copy=False)


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE, allow_silence: bool = False) -> np.ndarray:
    """Return a sound file as mono (n,) float32 at ``sample_rate`` Hz, channels averaged; full scale is 1.

    Every format of libsndfile (wav, flac, ogg, mp3, ...) is read, with any rate and number of channels; of an mp3 or
    Ogg file that several were joined to, everything. ``allow_silence`` takes a signal that never changes, as the
    published features do (their spectrogram is all 0 dB), and channels that cancel each other. n is that of
    :func:`count_samples`.

    Raises:
        AudioError: The file is missing, cannot be decoded, breaks off, does not hold as many samples as it announces,
            holds none or more than 2^29, is silent, or holds NaN or infinity.
    """
    path = Path(path)
    if absent := not_there(path, "sound"):
        raise AudioError(f"{shown_path(str(path))}: {absent}")
    try:
        found = [_decoded(stream) for stream in streams(path)]
    except BrokenOff as error:
        raise AudioError(f"{path}: breaks off, {error}; copy the file again or remove it") from error
    except Joined as error:
        raise AudioError(f"{path}: holds {error}, expected one recording; cut or convert it") from error
    except Exception as error:  # whatever a decoder raises
        raise AudioError(
            f"{path}: cannot be decoded as sound ({_reason(path, error)}); replace or remove it"
        ) from error
    problem = _unusable(found, allow_silence) or _unusual_rate(found, sample_rate)
    if problem is not None:
        raise AudioError(f"{path}: {problem}")
    parts = [resample(mono.samples, mono.rate, sample_rate) for mono in found]
    if not all(map(_finite, parts)):
        raise AudioError(f"{path}: holds samples too large to be resampled, expected about 1 at most; convert it again")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _decoded(stream: Stream) -> _Mono:
    """Decode a recording block by block, to its end and not to its claims."""
    blocks: list[np.ndarray] = []
    count, low, high = 0, np.inf, -np.inf
    most = max(1, BLOCK // stream.channels)
    with stream:
        while True:
            asked = most if stream.length is None else min(most, max(0, stream.length - count) + BEHIND)
            block = stream.read(asked, dtype="float32", always_2d=True)
            if not len(block):
                break
            blocks.append(block[:, 0] if stream.channels == 1 else block.mean(axis=1))
            if stream.channels > 1:
                low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
            count += len(block)
            if count > LONGEST:
                raise Joined(f"more than {LONGEST} samples")
        if stream.length is not None and count != stream.length:
            if count < stream.length:
                raise BrokenOff(f"{count} of {stream.length} samples are there")
            raise Joined(f"{count} samples where {stream.length} are announced")
        mono = (
            np.ascontiguousarray(blocks[0]) if len(blocks) == 1 else np.concatenate([np.zeros(0, np.float32), *blocks])
        )
        return _Mono(mono, stream.samplerate, float(np.max(high - low)) if stream.channels > 1 and count else 0.0)


def _unusable(found: list[_Mono], allow_silence: bool) -> str | None:
    """Return what is wrong with decoded recordings, and the remedy; None where nothing is."""
    count = sum(len(mono.samples) for mono in found)
    if count == 0:
        return "holds no samples, expected at least one; replace or remove it"
    if not all(_finite(mono.samples) for mono in found):
        return "holds NaN or infinite samples, expected finite ones; record or convert it again"
    filled = [mono.samples for mono in found if len(mono.samples)]
    swing = float(max(samples.max() for samples in filled)) - float(min(samples.min() for samples in filled))
    if allow_silence or swing > 0:
        return None
    if max(mono.swing for mono in found) > 0:
        return "its channels cancel each other, their mean is silent; keep one of the channels, or turn one round"
    return f"holds only silence ({count} equal samples), expected sound; record it again or remove it"


def _finite(samples: np.ndarray) -> bool:
    """Return whether no sample is NaN or infinite."""
    return math.isfinite(float(np.sum(samples, dtype=np.float64)))


def _unusual_rate(found: list[_Mono], sample_rate: int) -> str | None:
    """Return a message about rates that nobody records at: a damaged header makes hours of a second."""
    rates = sorted({mono.rate for mono in found})
    if sum(len(mono.samples) * sample_rate / mono.rate for mono in found) > LONGEST or rates[-1] > HIGHEST:
        return (
            f"has a rate of {rates} Hz, expected 1000 to {HIGHEST} Hz and less than 9 hours; record or convert it again"
        )
    return None


def count_samples(path: Path, sample_rate: int = SAMPLE_RATE) -> int:
    """Count a file's samples at ``sample_rate`` Hz, without decoding where its structure gives them.

    They are those that :func:`read_audio` returns or refuses; 0 when the file cannot be read (decoding it says why).
    """
    total = 0
    try:
        for stream in streams(Path(path), counting=True):
            with stream:
                length = stream.length if stream.length is not None else len(_decoded(stream).samples)
                total += math.ceil(length * sample_rate / stream.samplerate)
    except Exception:  # whatever a decoder raises: read_audio says it
        return 0
    return total if total <= LONGEST else 0


def _reason(path: Path, error: Exception) -> str:
    """Return what is wrong with the file, in libsndfile's words where it has some."""
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, TypeError):  # soundfile knows by the name that the file has no header
        return "raw samples without a header"
    return str(getattr(error, "error_string", error)).rstrip(".") or type(error).__name__
