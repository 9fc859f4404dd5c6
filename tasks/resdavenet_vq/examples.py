"""Show more of units than numbers: utterances with their transcripts, words found again, codes cut out."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.audio.read import SAMPLE_RATE
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.records import Word
from evaluation.report.clusters import Snippet
from evaluation.report.unit_plots import Tier, save, transcripts
from evaluation.report.units import CodeCard, ShownUtterance
from evaluation.word_detection.detect import WordDetection
from evaluation.word_detection.segments import code_runs

AROUND_WORD, AROUND_CODE = 0.5, 0.1  # seconds before and after what is cut out
FADE = 0.005  # seconds at both ends of a cut, so that it does not click
CLOSE = 0.5  # seconds of the closer look at an utterance, at which frames of 20 ms have room for their codes


class Utterances:
    """Utterances of a dataset with their words, phones and codes.

    Args:
        dataset: of the utterances.
        words: (start, end, word) by row.
        phones: (start, end, phone) by name of the utterance; those that are not in it have none.
        codes: for each layer, the codes (T',) of each row.
        seconds: that a code of each layer covers.
        folder: for figures.
    """

    def __init__(
        self,
        dataset: SpokenCaptions,
        words: Mapping[int, list[Word]],
        phones: Mapping[str, list[Word]],
        codes: Mapping[str, Mapping[int, np.ndarray]],
        seconds: Mapping[str, float],
        folder: Path,
    ) -> None:
        self.dataset, self.words, self.phones = dataset, words, phones
        self.codes, self.seconds, self.folder = codes, seconds, folder

    def shown(self, row: int) -> ShownUtterance | None:
        """Draw a whole utterance, and half a second around its middle larger; None where the dataset has no sounds."""
        sound = self.dataset.waveform(row)
        if sound is None:
            return None
        length = len(sound) / SAMPLE_RATE
        start = max(0.0, (length - CLOSE) / 2)
        parts = [("the whole utterance", 0.0, length), ("half a second of it", start, min(length, start + CLOSE))]
        return self._shown(row, sound, parts if length > 1.5 * CLOSE else parts[:1])

    def with_word(self, keyword: str, most: int) -> list[ShownUtterance]:
        """Draw parts of utterances around a word, of utterances in an order that depends on the word alone.

        Nothing is drawn where the word is not spoken or the dataset has no sounds.
        """
        found = [
            (row, start, end)
            for row, words in self.words.items()
            for start, end, word in words
            if word.upper() == keyword.upper()
        ]
        seed = int.from_bytes(hashlib.sha256(keyword.upper().encode()).digest()[:8])
        order = np.random.default_rng(seed).permutation(len(found))
        shown = []
        for row, start, end in (found[index] for index in order):
            if len(shown) == most:
                break
            sound = self.dataset.waveform(row)
            if sound is None:
                return []
            first, last = max(0.0, start - AROUND_WORD), min(len(sound) / SAMPLE_RATE, end + AROUND_WORD)
            if first >= last:  # behind the sound: alignments may be kept as they are
                continue
            caption = f"{keyword.upper()} from {start:.2f} to {end:.2f} s"
            shown.append(self._shown(row, sound, [(caption, first, last)], cut(sound, first, last)))
        return shown

    def _shown(
        self,
        row: int,
        sound: np.ndarray,
        parts: Sequence[tuple[str, float, float]],
        played: np.ndarray | None = None,
    ) -> ShownUtterance:
        record, figures = self.dataset.record(row), []
        for caption, start, end in parts:
            name = f"row_{row}_{start:.2f}_{end:.2f}"
            figure = transcripts(sound, SAMPLE_RATE, self._tiers(row, record.uttid), start, end)
            figures.append((caption, save(figure, self.folder / name)[1]))
        played = sound if played is None else played
        return ShownUtterance(f"{record.uttid} {record.speaker}".strip(), record.text, played, SAMPLE_RATE, figures)

    def _tiers(self, row: int, uttid: str) -> list[Tier]:
        tiers = [Tier("words", self.words[row])]
        if uttid in self.phones:
            tiers.append(Tier("phones", self.phones[uttid]))
        return tiers + [
            Tier(layer, code_runs(codes[row], self.seconds[layer])) for layer, codes in reversed(self.codes.items())
        ]

    def cards(self, layer: str, found: WordDetection, codes: int, snippets: int) -> list[CodeCard]:
        """Show the codes of a layer that detect a word best, the best first, with their longest stretches.

        ``snippets`` is how many stretches of a code are shown, one of an utterance; none where the dataset has no
        sounds.
        """
        nearest = found.nearest()
        best = sorted(nearest, key=lambda code: (-nearest[code][0].f1, code))[:codes]
        stretches = self._stretches(layer, set(best))
        return [
            CodeCard(
                layer, code, int(found.counts.frames[code]), nearest[code], self._snippets(stretches[code], snippets)
            )
            for code in best
        ]

    def _stretches(self, layer: str, wanted: set[int]) -> dict[int, list[tuple[float, float, int]]]:
        """Return the longest stretch (start, end, row) of each wanted code in each utterance, the longest first."""
        found: dict[int, list[tuple[float, float, int]]] = {code: [] for code in wanted}
        for row, codes in self.codes[layer].items():
            for start, end, code in code_runs(codes, self.seconds[layer]):
                if code in wanted:
                    found[code].append((start, end, row))
        return {code: _one_of_each_row(stretches) for code, stretches in found.items()}

    def _snippets(self, stretches: Sequence[tuple[float, float, int]], most: int) -> list[Snippet]:
        snippets = []
        for start, end, row in stretches[:most]:
            sound = self.dataset.waveform(row)
            if sound is None:
                return []
            spoken = " ".join(word for first, last, word in self.words[row] if first < end and last > start)
            text = f"{self.dataset.record(row).uttid}, {start:.2f} to {end:.2f} s: {self.dataset.record(row).text}"
            around = cut(sound, start - AROUND_CODE, end + AROUND_CODE)
            snippets.append(Snippet(around, SAMPLE_RATE, spoken.lower(), text))
        return snippets


def _one_of_each_row(stretches: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """Return the longest stretch of each row, the longest first; ties by row, then by time."""
    first: dict[int, tuple[float, float, int]] = {}
    for one in sorted(stretches, key=lambda one: (round(one[0] - one[1], 6), one[2], one[0])):
        first.setdefault(one[2], one)
    return list(first.values())


def cut(sound: np.ndarray, start: float, end: float) -> np.ndarray:
    """Cut the part from ``start`` to ``end``, in seconds, out of a sound (N,), faded in and out, within the sound."""
    part = sound[max(0, round(start * SAMPLE_RATE)) : max(0, round(end * SAMPLE_RATE))].astype(np.float32)
    edge = min(round(FADE * SAMPLE_RATE), len(part) // 2)
    if edge:
        ramp = np.linspace(0, 1, edge, dtype=np.float32)
        part[:edge] *= ramp
        part[-edge:] *= ramp[::-1]
    return part
