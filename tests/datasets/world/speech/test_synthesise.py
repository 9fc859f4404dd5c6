"""Speech: the times fit the sound, the same call gives the same bytes, voices differ."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.world.speech import espeak
from datasets.world.speech.espeak import SpeechError
from datasets.world.speech.synthesise import SAMPLE_RATE, Synthesiser, with_noise
from datasets.world.speech.voices import ACCENTS, FEMALE, MALE, Voice, varied, voice

ROOT = Path(__file__).resolve().parents[4]
TEXTS = (
    "There is a small red rubber cube to the left of the big grey cylinder.",
    "Two shiny spheres, one blue and one green, are in front of it.",
    "It's on the right-hand side; you can see three yellow things.",
    "left of the sphere there are two large cyan cylinders and a matte cube",
)
DIGEST = f"import sys; sys.path.insert(0, '.'); from {__name__} import digest; print(digest())"


def digest():
    state = hashlib.sha256()
    for index in (3, 0, 2):
        utterance = Synthesiser().speak(TEXTS[index], voice(index))
        state.update(utterance.samples.tobytes() + repr((utterance.words, utterance.phones)).encode())
    return state.hexdigest()


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def cut(utterance, start, end):
    return utterance.samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def fundamental(samples):
    """Median pitch in Hz of the voiced frames, by autocorrelation."""
    found = []
    for start in range(0, len(samples) - 1024, 512):
        frame = samples[start : start + 1024].astype(np.float64)
        if rms(frame) < 0.02:
            continue
        spectrum = np.abs(np.fft.rfft((frame - frame.mean()) * np.hanning(1024), 4096)) ** 2
        correlation = np.fft.irfft(spectrum)
        low, high = SAMPLE_RATE // 400, SAMPLE_RATE // 60
        lag = low + int(np.argmax(correlation[low:high]))
        if correlation[lag] > 0.4 * correlation[0]:
            found.append(SAMPLE_RATE / lag)
    return float(np.median(found))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("text", TEXTS)
def test_times_are_in_order_inside_the_sound_and_words_are_complete(text, seed):
    utterance = Synthesiser().speak(text, voice(seed))
    assert [name for *_, name in utterance.words] == [token.strip(".,;").upper() for token in text.split()]
    previous = 0.0
    for start, end, _ in utterance.words:
        assert previous <= start < end <= utterance.duration
        previous = end
    assert utterance.phones[0][0] == 0.0
    assert utterance.phones[-1][1] == pytest.approx(utterance.duration, abs=1e-4)
    for (_, end, _), (start, _, _) in zip(utterance.phones, utterance.phones[1:], strict=False):
        assert end == start
    assert not any("ˈ" in name or "ˌ" in name or not name for *_, name in utterance.phones)
    starts = {start for start, *_ in utterance.phones}
    assert all(start in starts for start, *_ in utterance.words)


@pytest.mark.parametrize("seed", range(8))
def test_words_hold_the_sound_and_pauses_hold_none(seed):
    utterance = Synthesiser().speak(TEXTS[1], voice(seed))
    assert utterance.samples.dtype == np.float32
    assert 0.1 < np.abs(utterance.samples).max() <= 1.0
    assert 2.0 < utterance.duration < 8.0
    loudness = rms(utterance.samples)
    assert loudness > 0.02
    assert all(rms(cut(utterance, start, end)) > 0.15 * loudness for start, end, _ in utterance.words)
    assert all(0.03 < end - start < 1.0 for start, end, _ in utterance.words)
    pauses = [cut(utterance, start + 0.005, end - 0.005) for start, end, name in utterance.phones if name == "sil"]
    long_pauses = [pause for pause in pauses if len(pause) > 0.05 * SAMPLE_RATE]
    assert len(long_pauses) >= 2, "one for each comma at least"
    assert all(rms(pause) < 0.01 * loudness for pause in long_pauses)


def test_fused_words_of_the_dictionary_have_times_of_their_own():
    words = Synthesiser().speak("left of the cube", Voice()).words
    assert [name for *_, name in words] == ["LEFT", "OF", "THE", "CUBE"]
    assert all(end - start > 0.05 for start, end, _ in words)


def test_a_fricative_is_found_where_the_times_say():
    """The s of "six" has most of its energy above 3 kHz, the vowel after it has not."""
    utterance = Synthesiser().speak("six", Voice("en-us", "m3"))
    shares = []
    for start, end, name in utterance.phones[:2]:
        power = np.abs(np.fft.rfft(cut(utterance, start, end))) ** 2
        frequency = np.fft.rfftfreq(2 * (len(power) - 1), 1 / SAMPLE_RATE)
        shares.append((name, power[frequency > 3000].sum() / power.sum()))
    assert [name for name, _ in shares] == ["s", "ɪ"]
    assert shares[0][1] > 0.7 > 0.3 > shares[1][1]


def test_the_same_call_gives_the_same_bytes_in_any_order_thread_and_process():
    expected = digest()
    Synthesiser().speak("Something else in between.", voice(77))
    assert digest() == expected
    with ThreadPoolExecutor(3) as pool:
        assert {future.result() for future in [pool.submit(digest) for _ in range(3)]} == {expected}
    fresh = subprocess.run(
        [sys.executable, "-c", DIGEST], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert fresh.stdout.strip() == expected


def test_pitch_and_rate_are_heard():
    low, high = (Synthesiser().speak(TEXTS[0], Voice("en-us", "m3", pitch=pitch)) for pitch in (20, 80))
    assert fundamental(high.samples) > 1.2 * fundamental(low.samples)
    man, woman = (Synthesiser().speak(TEXTS[0], Voice("en-us", name)) for name in ("m3", "Annie"))
    assert fundamental(woman.samples) > 1.5 * fundamental(man.samples)
    slow, fast = (Synthesiser().speak(TEXTS[0], Voice("en-us", "m3", rate=rate)) for rate in (120, 240))
    assert slow.duration > 1.5 * fast.duration


@pytest.mark.parametrize("variant", [*FEMALE, *MALE])
def test_every_listed_variant_speaks_loud_enough_and_unclipped(variant):
    samples = Synthesiser().speak("There is a large blue ball.", Voice("en-us", variant)).samples
    assert rms(samples) > 0.015
    assert np.mean(np.abs(samples) > 0.999) < 1e-3


def test_accents_differ():
    spoken = {accent: Synthesiser().speak("The brown cube is there.", Voice(accent)) for accent in ACCENTS}
    assert len({tuple(name for *_, name in utterance.phones) for utterance in spoken.values()}) >= 5
    assert len({utterance.samples.tobytes() for utterance in spoken.values()}) == len(ACCENTS)


def test_voices_are_many_and_their_ids_stable():
    voices = [voice(seed) for seed in range(300)]
    assert len({v.speaker for v in voices}) == 300
    assert {v.accent for v in voices} == set(ACCENTS)
    assert 100 < sum(v.variant in FEMALE for v in voices) < 200
    assert voice(0).speaker == "en-us_aunty_p65_r54_s187"
    assert replace(voice(0), rate=150).speaker != voice(0).speaker


def test_a_voice_varies_about_its_usual_pitch_and_rate():
    usual = voice(3)
    found = [varied(usual, 0.1, seed) for seed in range(200)]
    rates, pitches = ([getattr(one, name) for one in found] for name in ("rate", "pitch"))
    assert len(set(rates)) > 20
    assert max(abs(rate - usual.rate) for rate in rates) == round(0.1 * usual.rate)
    assert max(abs(pitch - usual.pitch) for pitch in pitches) == 10
    assert np.mean(pitches) == pytest.approx(usual.pitch, abs=1.5)
    assert {one.name for one in found} == {usual.name}
    assert varied(usual, 0.1, 7) == varied(usual, 0.1, 7)
    assert 0 <= min(varied(Voice(pitch=2), 0.5, seed).pitch for seed in range(20)) < 2


@pytest.mark.parametrize("ratio", [20.0, 0.0])
def test_noise_has_the_ratio_that_was_asked_for_and_is_pink(ratio):
    speech = Synthesiser().speak("a small red ball", voice(1)).samples * 0.1  # the sum stays below 1
    mixed = with_noise(speech, ratio, 5)
    noise = mixed - speech
    assert 20 * np.log10(rms(speech) / rms(noise)) == pytest.approx(ratio, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / 16000)
    octaves = [power[(hertz >= low) & (hertz < 2 * low)].sum() for low in (200, 800, 3200)]
    assert max(octaves) < 1.5 * min(octaves)
    assert np.array_equal(mixed, with_noise(speech, ratio, 5))
    assert not np.array_equal(mixed, with_noise(speech, ratio, 6))


def test_loud_noise_does_not_clip():
    speech = Synthesiser().speak("a ball", voice(1)).samples
    mixed = with_noise(speech / np.abs(speech).max(), -10.0, 0)
    assert np.abs(mixed).max() == pytest.approx(1.0)
    assert mixed.dtype == np.float32


def test_wrong_voices_and_texts_are_reported():
    with pytest.raises(SpeechError, match=r"pitch is 120; eSpeak NG takes 0 to 99"):
        Voice(pitch=120)
    with pytest.raises(SpeechError, match=r"variant is 'nobody'; eSpeak NG has .*m3"):
        Voice(variant="nobody")
    with pytest.raises(SpeechError, match="does not give the same speech twice"):
        Voice(variant="adam")
    with pytest.raises(SpeechError, match=r"no voice 'martian\+m3'"):
        Synthesiser().speak("hello", Voice("martian"))
    with pytest.raises(SpeechError, match=r"nothing to say in ' \.\.\. '"):
        Synthesiser().speak(" ... ", Voice())


def test_a_missing_library_is_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(SpeechError, match=r"espeakng-loader, which is not installed: install it with"):
        Synthesiser()
    monkeypatch.undo()
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "gone.so"))
    with pytest.raises(SpeechError, match=r"lacks .*gone\.so"):
        espeak.library_paths()
    (tmp_path / "gone.so").write_text("no library")
    with pytest.raises(SpeechError, match="cannot be loaded"):
        Synthesiser().speak("hello", Voice())
