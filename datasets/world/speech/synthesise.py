"""Speech with exact word and phone times, by eSpeak NG (see espeak.py for the library and its traps).

Times come from the synthesiser's own events, counted in samples at 22050 Hz, not from an aligner. A word runs from its
event to the next word or pause. The silence that eSpeak puts before a consonant (the closure of a stop) belongs to
that consonant. Speech is resampled to 16 kHz by soxr (hq), which has linear phase, so that the times hold.
"""

from dataclasses import dataclass

import numpy as np
import soxr

from datasets.world.speech import espeak
from datasets.world.speech.espeak import SpeechError
from datasets.world.speech.voices import Voice

SAMPLE_RATE = 16000
PAUSE = "sil"
_STRESS = str.maketrans("", "", "ˈˌ")
_PUNCTUATION = ".,;:!?\"'()[]–—-…“”‘’"
_CLAUSE_END = ".,;:!?"
_SHORTEST_CLOSURE = espeak.RATE_HZ // 200
_NO_BREAK_SPACE = "\u00a0"

Interval = tuple[float, float, str]


@dataclass(frozen=True)
class Utterance:
    """One spoken text."""

    samples: np.ndarray  # (N,) float32 in [-1, 1], 16 kHz mono
    words: list[Interval]  # (start, end, WORD) in seconds, in order, one for each word of the text, no punctuation
    phones: list[Interval]  # (start, end, phone) in seconds, without gaps; IPA without stress marks, pauses are ``sil``

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def with_noise(samples: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    """Add the noise of a room to samples (N,) float32 in [-1, 1]: pink (the same power in every octave), all through.

    ``ratio`` is the power of the speech to that of the noise over the whole utterance, dB. The result is in [-1, 1]
    too, quieter as a whole where the sum would be louder than 1.
    """
    white = np.random.default_rng(seed).standard_normal(len(samples))
    spectrum = np.fft.rfft(white)
    spectrum[0] = 0
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, len(samples))
    wanted = np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / 10 ** (ratio / 10))
    mixed = samples + noise * (wanted / np.sqrt(np.mean(np.square(noise))))
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


class Synthesiser:
    """Turns text into speech; holds nothing, so any number of them in any order say the same.

    One thread of a process speaks at a time (a lock sees to it); use processes to speak in parallel.

    Raises:
        SpeechError: eSpeak NG is not installed.
    """

    def __init__(self) -> None:
        espeak.library_paths()

    def speak(self, text: str, voice: Voice) -> Utterance:
        """Speak English words and punctuation; the same text and voice give the same bytes.

        Raises SpeechError where the text holds no word, or eSpeak NG refuses the voice.
        """
        tokens = text.split()
        spoken, starts = _join(tokens)
        names = [token.strip(_PUNCTUATION).upper() for token in tokens]
        if not any(_is_word(name) for name in names):
            raise SpeechError(f"There is nothing to say in {text!r}: give at least one word.")
        raw, events = espeak.synthesise(spoken, voice.name, voice.pitch, voice.pitch_range, voice.rate)
        if len(raw) == 0:
            raise SpeechError(f"eSpeak NG said nothing for {text!r} with voice '{voice.name}'.")
        samples = soxr.resample(raw.astype(np.float32) / 32768.0, espeak.RATE_HZ, SAMPLE_RATE, quality="HQ")
        peak = float(np.abs(samples).max())
        if peak > 1.0:
            samples = samples / peak
        events = _named(events, raw)
        phones = _phones(events, raw)
        words = _words(events, starts, names, len(raw))
        end = len(samples) / SAMPLE_RATE
        return Utterance(samples.astype(np.float32), _seconds(words, end), _seconds(phones, end))


def _is_word(name: str) -> bool:
    return any(character.isalnum() for character in name)


def _join(tokens: list[str]) -> tuple[str, list[int]]:
    # A no-break space keeps eSpeak from fusing two words into one dictionary entry ("of the"), which would have one
    # event for both; after punctuation it must be a plain space, or the pause is lost. Positions count from 1.
    text, starts = "", []
    for token in tokens:
        if text:
            text += " " if text[-1] in _CLAUSE_END else _NO_BREAK_SPACE
        starts.append(len(text) + 1)
        text += token
    return text, starts


def _words(events: list[espeak.Event], starts: list[int], names: list[str], total: int) -> list[tuple[int, int, str]]:
    """Join the WORD events of each token and end it at the next word, pause or clause end; samples at 22050 Hz."""
    spans: dict[int, tuple[int, int]] = {}
    current = None
    for event in events:
        is_end = event.kind == espeak.EVENT_END or event.phone == PAUSE
        if current is not None and (is_end or event.kind == espeak.EVENT_WORD):
            spans[current] = (spans[current][0], event.sample)
            current = None
        if event.kind == espeak.EVENT_WORD:
            token = int(np.searchsorted(starts, event.character, side="right")) - 1
            if token >= 0 and _is_word(names[token]):
                current = token
                spans.setdefault(token, (event.sample, total))
    missing = [name for token, name in enumerate(names) if _is_word(name) and token not in spans]
    if missing:
        raise SpeechError(f"eSpeak NG gave no time for {missing}; write the text in plain English words.")
    return [(*spans[token], names[token]) for token in sorted(spans)]


def _phones(events: list[espeak.Event], raw: np.ndarray) -> list[tuple[int, int, str]]:
    """Start each phone at its event, or at the word's event or the closure before it; samples at 22050 Hz."""
    phones: list[tuple[int, str]] = []
    word_start = None
    for event in events:
        if event.kind == espeak.EVENT_WORD:
            word_start = event.sample
        elif event.kind == espeak.EVENT_PHONE:
            start = event.sample
            if event.phone != PAUSE and word_start is not None:
                start, word_start = word_start, None
            elif event.phone != PAUSE and phones:
                start = _closure(raw, start, phones[-1][0])
            phones.append((start, event.phone))
    ends = [*(start for start, _ in phones[1:]), len(raw)]
    return [(start, end, name) for (start, name), end in zip(phones, ends, strict=True) if end > start]


def _named(events: list[espeak.Event], raw: np.ndarray) -> list[espeak.Event]:
    """Strip the stress off phones and separate pauses from the glides that have no IPA name either.

    A nameless phone is a pause where it is silent or ends a clause, and one with a pause before it; else it prolongs
    the phone before it and is left out.
    """
    kept: list[espeak.Event] = []
    for index, event in enumerate(events):
        if event.kind != espeak.EVENT_PHONE:
            kept.append(event)
            continue
        name = event.phone.translate(_STRESS)
        if not name:
            follows = next((after for after in events[index + 1 :] if after.sample > event.sample), None)
            silent = not raw[event.sample : follows.sample if follows else len(raw)].any()
            if (kept and kept[-1].phone == PAUSE) or not (silent or _ends_clause(events, index)):
                continue
        kept.append(event._replace(phone=name or PAUSE))
    return kept


def _ends_clause(events: list[espeak.Event], index: int) -> bool:
    for event in events[index + 1 :]:
        if event.kind != espeak.EVENT_PHONE or event.phone:
            return event.kind == espeak.EVENT_END
    return True


def _closure(raw: np.ndarray, sample: int, floor: int) -> int:
    """Go back over the exact zeros that end at ``sample``, no further than ``floor``; short runs do not count."""
    before = raw[floor:sample]
    loud = np.flatnonzero(before)
    start = floor + (int(loud[-1]) + 1 if len(loud) else 0)
    return start if sample - start >= _SHORTEST_CLOSURE else sample


def _seconds(spans: list[tuple[int, int, str]], end: float) -> list[Interval]:
    rate = espeak.RATE_HZ
    return [(min(first / rate, end), min(last / rate, end), name) for first, last, name in spans]
