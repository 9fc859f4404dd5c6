"""Sounds that hold one spoken word: from a file, from an upload, and the part of them that is spoken."""

import io
from pathlib import Path

import numpy as np
import soundfile

from common.errors import UserError
from datasets.audio.read import SAMPLE_RATE, read_audio, resample

SHORTEST, LONGEST = 0.1, 3.0  # seconds of a spoken word
LONGEST_UPLOAD = 15.0  # seconds
RATES = (8000, 192_000)  # Hz, of an upload
FRAME = SAMPLE_RATE // 100  # samples of which the level is measured
SPOKEN, ABOVE_NOISE, LOUD = 40.0, 8.0, 12.0  # dB: below the loudest frame, above the quietest, always spoken


class SoundError(UserError, ValueError):
    """A sound that is not one spoken word."""


def read_word(path: Path) -> np.ndarray:
    """Return what is spoken (n,) float32, 16 kHz, in a sound file.

    Raises:
        AudioError: there is no file, it is no sound, or it is silent.
        SoundError: it is too short or too long for one word.
    """
    return spoken_part(read_audio(path), str(path))


def read_upload(content: bytes) -> np.ndarray:
    """Return what is spoken (n,) float32, 16 kHz, in a WAV file of at most 15 s, whose header is not believed.

    Raises SoundError where it is something else, silent, or too short or too long for one word.
    """
    if content[:4] not in (b"RIFF", b"RIFX") or content[8:12] != b"WAVE":
        raise SoundError("the sound is no WAV file, expected one; the page makes one of what a browser plays")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate, seconds = file.samplerate, file.frames / max(1, file.samplerate)
            if not RATES[0] <= rate <= RATES[1] or seconds > LONGEST_UPLOAD:
                raise SoundError(
                    f"the sound has {seconds:.1f} s at {rate} Hz, expected at most {LONGEST_UPLOAD:g} s at {RATES[0]} "
                    f"to {RATES[1]} Hz: one word; cut or convert it"
                )
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise SoundError(f"the sound cannot be decoded ({error}); record it again") from error
    if not len(samples) or not np.isfinite(samples).all():
        raise SoundError("the sound holds no samples, or NaN or infinity; record it again")
    return spoken_part(resample(samples, rate, SAMPLE_RATE), "the sound")


def spoken_part(samples: np.ndarray, name: str) -> np.ndarray:
    """Cut what is not spoken off both ends of samples (n,) float32, 16 kHz.

    Frames of 10 ms count as spoken within 40 dB of the loudest, and where they are at least 8 dB louder than the
    quietest tenth, so that the noise of a room does not.

    Raises SoundError where ``name`` is silent, or too short or too long for one word.
    """
    frames = len(samples) // FRAME
    if frames * FRAME < SHORTEST * SAMPLE_RATE:
        raise SoundError(f"{name} is {len(samples) / SAMPLE_RATE:.2f} s long, {_expected()}; record it again")
    power = np.square(samples[: frames * FRAME].reshape(frames, FRAME), dtype=np.float64)
    level = 10 * np.log10(np.convolve(power.mean(axis=1), np.ones(3) / 3, mode="same") + 1e-12)
    loudest = level.max()
    if loudest < -100:
        raise SoundError(f"{name} holds only silence, {_expected()}; look at the microphone, and record it again")
    least = max(loudest - SPOKEN, min(np.percentile(level, 10) + ABOVE_NOISE, loudest - LOUD))
    spoken = np.flatnonzero(level >= least)
    part = samples[max(0, spoken[0] - 1) * FRAME : (spoken[-1] + 2) * FRAME]
    if not SHORTEST <= len(part) / SAMPLE_RATE <= LONGEST:
        raise SoundError(f"{name} holds {len(part) / SAMPLE_RATE:.2f} s of speech, {_expected()}; say one word alone")
    return part


def _expected() -> str:
    return f"expected {SHORTEST:g} to {LONGEST:g} s: one spoken word"
