"""Decoding: every container, rate and channel count gives the same mono signal; what cannot be used is named."""

import os

import numpy as np
import pytest
import soundfile

from datasets.audio.read import AudioError, count_samples, read_audio, resample


def tone(rate, seconds=0.5, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(
    ("name", "error"), [("a.wav", 1e-4), ("a.flac", 1e-4), ("a.ogg", 0.1), ("a.mp3", 0.1)]
)  # ogg and mp3 are lossy
def test_reads_every_container(tmp_path, name, error):
    soundfile.write(tmp_path / name, tone(16000), 16000)
    samples = read_audio(tmp_path / name)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 8000) < 1200  # mp3 pads to whole frames
    lag = np.argmax(np.correlate(samples[:4000], tone(16000)[:400].astype(np.float32), "valid")[:1300])
    assert np.abs(samples[lag + 500 : lag + 3500] - tone(16000)[500:3500]).max() < error


@pytest.mark.parametrize("ending", ["wav", "aiff", "au", "flac", "ogg", "mp3"])
def test_names_in_other_encodings_than_utf_8_are_read(tmp_path, ending):
    soundfile.write(tmp_path / f"plain.{ending}", tone(16000), 16000)
    named = tmp_path / os.fsdecode(b"caf\xe9." + ending.encode())
    named.write_bytes((tmp_path / f"plain.{ending}").read_bytes())
    np.testing.assert_array_equal(read_audio(named), read_audio(tmp_path / f"plain.{ending}"))
    assert count_samples(named) == count_samples(tmp_path / f"plain.{ending}")
    named.write_bytes(b"RIFF1234")
    with pytest.raises(AudioError, match=r"decoded as sound|breaks off"):
        read_audio(named)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resamples_any_rate_to_16_khz(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate)
    samples = read_audio(tmp_path / "a.wav")
    assert len(samples) == 8000 == count_samples(tmp_path / "a.wav")
    assert np.abs(samples[800:-800] - tone(16000)[800:-800]).max() < 2e-3


def test_averages_channels(tmp_path):
    left, right = tone(16000), tone(16000, hertz=1000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right, 0 * left], 1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), (left + right) / 3, atol=1e-6)


def test_published_resampling(assets):
    stored = np.load(assets / "parity" / "logmel.npz")
    signal = stored["pcm_b44k"].astype(np.float32) / 32768
    np.testing.assert_allclose(resample(signal, 44100, 16000), stored["resampled_b44k"], atol=1e-6)


@pytest.mark.parametrize("samples", [1, 2, 3, 101, 44101])
def test_resampled_length_is_rounded_up(samples):
    assert len(resample(np.ones(samples, np.float32), 44100, 16000)) == -(-samples * 16000 // 44100)


def test_unusable_files_are_named(tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    with pytest.raises(AudioError, match=r"text\.wav: cannot be decoded as sound \(.*\); replace or remove it"):
        read_audio(tmp_path / "text.wav")
    (tmp_path / "void.wav").touch()
    with pytest.raises(AudioError, match=r"void\.wav: .*the file is empty"):
        read_audio(tmp_path / "void.wav")
    with pytest.raises(AudioError, match=r"absent\.wav: there is no such sound file; correct the manifest"):
        read_audio(tmp_path / "absent.wav")
    assert count_samples(tmp_path / "absent.wav") == count_samples(tmp_path / "text.wav") == 0
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    with pytest.raises(AudioError, match=r"none\.wav: holds no samples"):
        read_audio(tmp_path / "none.wav")
    for value in (np.nan, np.inf):
        soundfile.write(tmp_path / "nan.wav", np.array([0.1, value, 0.2]), 16000, subtype="FLOAT")
        with pytest.raises(AudioError, match=r"nan\.wav: holds NaN or infinite"):
            read_audio(tmp_path / "nan.wav")


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_silence_is_named(tmp_path, level):
    """A constant is silence once its mean is taken off; resampling would give it edges."""
    for rate in (16000, 44100):
        soundfile.write(tmp_path / "still.wav", np.full(rate // 2, level), rate)
        with pytest.raises(
            AudioError, match=rf"still\.wav: holds only silence \({rate // 2} equal samples\), expected"
        ):
            read_audio(tmp_path / "still.wav")
        assert len(read_audio(tmp_path / "still.wav", allow_silence=True)) == 8000
    soundfile.write(tmp_path / "click.wav", np.array([level] * 999 + [level + 0.1]), 16000)
    assert len(read_audio(tmp_path / "click.wav")) == 1000
