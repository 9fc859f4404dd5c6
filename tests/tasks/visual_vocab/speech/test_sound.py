"""What is spoken in a sound: silence and noise around it go, everything else is refused in one sentence."""

import io

import numpy as np
import pytest
import soundfile

from tasks.visual_vocab.speech.sound import SoundError, read_upload, read_word, spoken_part


def tone(seconds, level=0.5):
    return (level * np.sin(2 * np.pi * 300 * np.arange(round(16000 * seconds)) / 16000)).astype(np.float32)


def quiet(seconds, level=0.0):
    return (level * np.random.default_rng(0).standard_normal(round(16000 * seconds))).astype(np.float32)


def wav(samples, rate=16000, kind="WAV"):
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=kind)
    return content.getvalue()


@pytest.mark.parametrize("level", [0.0, 0.003])
def test_what_is_around_a_word_is_cut_off(level):
    found = spoken_part(np.concatenate([quiet(0.5, level), tone(0.4), quiet(0.7, level)]), "x")
    assert abs(len(found) / 16000 - 0.4) < 0.05
    assert np.abs(found[1600:3200]).max() > 0.4


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (tone(0.05), r"x is 0\.05 s long, expected 0\.1 to 3 s: one spoken word; record it again"),
        (quiet(1), "x holds only silence"),
        (tone(4), r"x holds 4\.00 s of speech, expected 0\.1 to 3 s"),
        (np.concatenate([quiet(1), tone(0.03), quiet(1)]), r"x holds 0\.0\d s of speech"),
    ],
)
def test_sounds_that_are_no_word_are_refused(samples, message):
    with pytest.raises(SoundError, match=message):
        spoken_part(samples, "x")


def test_files_of_any_format_are_read(tmp_path):
    path = tmp_path / "word.flac"
    soundfile.write(path, tone(0.5), 16000)
    assert abs(len(read_word(path)) - 8000) < 500


def test_uploads_are_wav_of_bounded_length():
    stereo = np.stack([tone(0.5), tone(0.5)], axis=1)
    assert abs(len(read_upload(wav(stereo, 32000))) - 4000) < 500  # 0.25 s
    whole = wav(tone(0.5))
    assert abs(len(read_upload(whole[:-4000])) - 6000) < 500  # of a header that claims more
    for content, message in (
        (b"", "is no WAV file"),
        (b"GIF89a" + bytes(100), "is no WAV file"),
        (wav(tone(0.5), kind="FLAC"), "is no WAV file"),
        (whole[:20], "cannot be decoded"),
        (wav(quiet(0)), r"has 0\.0|holds no samples"),
        (wav(tone(16)), r"has 16\.0 s at 16000 Hz, expected at most 15 s"),
        (wav(tone(0.5), 1000), r"at 1000 Hz, expected"),
        (wav(quiet(1)), "holds only silence"),
    ):
        with pytest.raises(SoundError, match=message):
            read_upload(content)
