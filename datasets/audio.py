"""Sound files to mono float32 at one rate.

The published systems read with librosa; here soundfile decodes (wav, flac, ogg, mp3) and soxr (hq) resamples, as
librosa >= 0.10 does. What cannot be used is an error that names the file, never a silent zero.
"""

import math
from pathlib import Path

import numpy as np
import soundfile
import soxr

from datasets.broken_off import WAVS, length_is_known, what_is_missing, with_its_length
from engine.errors import UserError

SAMPLE_RATE = 16000
BLOCK = 1 << 20  # samples decoded at a time where a file does not say how many it holds


class AudioError(UserError):
    """A sound file that cannot be decoded, or holds no usable sound."""


def resample(samples: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """Resamples a mono signal with soxr's hq filter to exactly ceil(n * target_rate / rate) samples.

    Args:
        samples: (n,) float32.
        rate: Rate of ``samples`` in Hz.
        target_rate: Wanted rate in Hz.

    Returns:
        (m,) float32; the length is librosa's, so frame counts agree with the published systems.
    """
    if rate == target_rate:
        return samples
    length = math.ceil(len(samples) * target_rate / rate)
    resampled = soxr.resample(samples, rate, target_rate, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled))).astype(np.float32, copy=False)


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE, allow_silence: bool = False) -> np.ndarray:
    """Decodes a sound file to mono at ``sample_rate``.

    Args:
        path: A file libsndfile knows (wav, flac, ogg, mp3, ...), with any rate and number of channels. Which files can
            be known to break off: :func:`datasets.broken_off.what_is_missing`. Of a chained ogg file libsndfile
            decodes the first stream.
        sample_rate: Wanted rate in Hz.
        allow_silence: Take a signal that never changes, as the published features do: their spectrogram is all 0 dB.

    Returns:
        (n,) float32, channels averaged, full scale is 1.

    Raises:
        AudioError: The file is missing, cannot be decoded, breaks off, is empty, silent, or holds NaN or infinity.
    """
    try:
        with soundfile.SoundFile(path) as file:
            samples, rate = _decoded(Path(path), file), file.samplerate
            missing = what_is_missing(Path(path), file, len(samples))
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioError(
            f"{path}: cannot be decoded as sound ({_reason(path, error)}); replace or remove it"
        ) from error
    if missing is not None:
        raise AudioError(f"{path}: breaks off, {missing}; copy the file again or remove it")
    if len(samples) == 0:
        raise AudioError(f"{path}: holds no samples, expected at least one; replace or remove it")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not math.isfinite(float(np.sum(mono, dtype=np.float64))):
        raise AudioError(f"{path}: holds NaN or infinite samples, expected finite ones; record or convert it again")
    if not allow_silence and mono.min() == mono.max():
        raise AudioError(
            f"{path}: holds only silence ({len(mono)} equal samples), expected sound; record it again or remove it"
        )
    return resample(np.ascontiguousarray(mono), rate, sample_rate)


def _decoded(path: Path, file: soundfile.SoundFile) -> np.ndarray:
    """All samples of an open file, (n, channels) float32."""
    if file.frames == 0 and file.format in WAVS and (whole := with_its_length(path)):
        with soundfile.SoundFile(whole) as stream:
            return stream.read(dtype="float32", always_2d=True)
    if length_is_known(file):
        return file.read(dtype="float32", always_2d=True)
    with _Unseekable(path) as stream:
        blocks = [stream.read(BLOCK, dtype="float32", always_2d=True)]
        while len(blocks[-1]) == BLOCK:
            blocks.append(stream.read(BLOCK, dtype="float32", always_2d=True))
    return np.concatenate(blocks)


class _Unseekable(soundfile.SoundFile):
    """A file whose length libsndfile does not know: it cannot seek to the end, as soundfile wants after reading."""

    def seekable(self) -> bool:
        """Never."""
        return False


def count_samples(path: Path, sample_rate: int = SAMPLE_RATE) -> int:
    """Reads a file's length from its header alone.

    Args:
        path: As in :func:`read_audio`.
        sample_rate: Rate in Hz that the length is told in.

    Returns:
        Samples after resampling; 0 when the header cannot be read (decoding the file tells why) or does not tell.
    """
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return 0
    if not length_is_known(info):
        return 0
    return math.ceil(info.frames * sample_rate / info.samplerate)


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with the file, in libsndfile's words where it has some."""
    if not Path(path).exists():
        return "no such file"
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return "the file is empty"
    return str(getattr(error, "error_string", error)).rstrip(".")
