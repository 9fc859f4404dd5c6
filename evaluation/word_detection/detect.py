"""Word detection by codes: how precisely the frames of a code show that a word is spoken, and how many they find.

The unit analysis of ResDAVEnet-VQ (arXiv:1911.09602; wnhsu/ResDAVEnet-VQ ``steps/unit_analysis.py``). Precision of a
code for a word is the share of the code's frames that overlap the word, recall the share of the word's occurrences that
hold the code, F1 their harmonic mean.

Oddities of the public code are followed only with ``published``: there a window without a word counts as the word
``<SIL>``, which may be a high-precision word, and stop words stay among the words that are counted and averaged, with
an F1 of 0. By default neither is a word. Ties are in the order of codes and words; the public code's depend on hashes.

Shape letters: K codes, V words, P pairs that meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from evaluation.word_detection.counts import SILENCE, Counts, Word, WordDetectionError, count_meetings

STOP_WORDS = (
    "A", "AN", "THE", "AND", "OF", "<SPOKEN_NOISE>", "TO", "ON", "IN", "AT", "ARE", "IS", "IT", "HE", "SHE", "YOU",
    "THERE", "THIS",
)  # fmt: skip
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class DetectionRules:
    """Rules by which a code detects a word; the published settings by default, but for ``published`` itself.

    Attributes:
        published: follow the public code where it is odd (see the head of this file).
        halfwidth: of the window around a frame's centre that a word must overlap, seconds.
        min_occ: a code detects a word that holds it at least so many times.
        thresholds: of the F1 of words that are counted.
        top: the mean F1 is also taken of so many words, the best.
        high_precision: words are listed that some code detects so precisely.
        often: words spoken so many times are also counted apart.
        stop_words: words that are not counted; in capitals or not, unless ``published``.
    """

    published: bool = False
    halfwidth: PositiveFloat = 0.04
    min_occ: PositiveInt = 1
    thresholds: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.5,)
    top: PositiveInt = 250
    high_precision: Share = 0.35
    often: PositiveInt = 20
    stop_words: tuple[str, ...] = STOP_WORDS


class Detector(NamedTuple):
    """Hold a code as a detector of a word; shares are 0-1."""

    code: int
    word: str
    f1: float
    precision: float  # share of the code's frames that overlap the word
    recall: float  # share of the word's occurrences that hold the code
    count: int  # occurrences that hold the code
    spoken: int  # occurrences


class WordDetection:
    """Measure every pair of a code and a word that meet.

    ``counted`` (V,) bool are the words that are counted and averaged; ``reported`` (P,) bool the pairs whose precision
    is reported: of the others the word is a stop word, or overlaps no frame; ``detects`` (P,) bool the pairs of counted
    words that meet at least ``min_occ`` times; ``precision`` (0 where it is not reported), ``recall`` and ``f1`` are
    (P,), 0-1.
    """

    def __init__(self, counts: Counts, rules: DetectionRules = DetectionRules()) -> None:
        self.counts, self.rules = counts, rules
        stop = self._stop_words()
        self.counted = (counts.spoken > 0) & (rules.published | ~stop)
        self.reported = (counts.overlapping > 0) & ~stop[counts.word]
        self.precision = np.where(self.reported, counts.overlapping / np.maximum(counts.frames[counts.code], 1), 0.0)
        self.recall = counts.holding / np.maximum(counts.spoken[counts.word], 1)
        both = self.precision + self.recall
        self.f1 = np.where(both > 0, 2 * self.precision * self.recall / np.where(both > 0, both, 1), 0.0)
        self.detects = self.counted[counts.word] & (counts.holding >= rules.min_occ)

    def _stop_words(self) -> np.ndarray:
        """Return which words are stop words, (V,) bool."""
        words, rules = self.counts.words, self.rules
        if rules.published:
            return np.isin(words, rules.stop_words)
        stop = {SILENCE, "", *(word.upper() for word in rules.stop_words)}
        return np.array([word.upper() in stop for word in words])

    @cached_property
    def best(self) -> np.ndarray:
        """Return the best pair of each counted word that a code detects, the best first; ties by word, then by code."""
        found = np.flatnonzero(self.detects)
        order = found[np.lexsort((-self.f1[found], self.counts.word[found]))]  # stable: pairs are sorted by code
        word = self.counts.word[order]
        first = order[np.r_[True, word[1:] != word[:-1]]] if len(order) else order
        return first[np.lexsort((self.counts.word[first], -self.f1[first]))]

    def words(self) -> list[Detector]:
        """Return the best detector of each word, the best first."""
        return [self.detector(pair) for pair in self.best]

    def nearest(self, show: int = 5) -> dict[int, list[Detector]]:
        """Return for each code at most ``show`` words that it detects best, with an F1 above 0, the best first.

        Words of equal F1 are in the order of words.
        """
        found = np.flatnonzero(self.detects & self.reported & (self.f1 > 0))
        order = found[np.lexsort((-self.f1[found], self.counts.code[found]))]  # stable: pairs of a code are by word
        code = self.counts.code[order]
        position = np.arange(len(code)) - np.searchsorted(code, code)
        codes: dict[int, list[Detector]] = {}
        for pair in order[position < show]:
            codes.setdefault(int(self.counts.code[pair]), []).append(self.detector(pair))
        return codes

    def detector(self, pair: int) -> Detector:
        """Return one ``pair``, 0 to P - 1, as plain values."""
        counts, word = self.counts, int(self.counts.word[pair])
        shares = (float(values[pair]) for values in (self.f1, self.precision, self.recall))
        return Detector(
            int(counts.code[pair]),
            counts.words[word],
            *shares,
            int(counts.holding[pair]),
            int(counts.spoken[word]),
        )

    def high_precision_words(self) -> list[str]:
        """Return the words that some code detects with a precision of at least ``high_precision``, in order."""
        found = np.unique(self.counts.word[self.reported & (self.precision >= self.rules.high_precision)])
        return [self.counts.words[word] for word in found]

    def high_precision_codes(self) -> int:
        """Count the codes that overlap some word with a precision of at least ``high_precision``."""
        return len(np.unique(self.counts.code[self.reported & (self.precision >= self.rules.high_precision)]))

    def words_above(self, threshold: float) -> int:
        """Count the words whose best F1 is at least ``threshold``, 0-1."""
        return int((self.f1[self.best] >= threshold).sum())

    def mean_f1(self, top: int | None = None) -> float:
        """Return the mean of the best F1 of the ``top`` words (all when None), 0-1; NaN where no word is detected."""
        best = self.f1[self.best][:top]
        return float(best.mean()) if len(best) else float("nan")

    def metrics(self) -> dict[str, float]:
        """Return all numbers of the analysis.

        ``words`` that a code detects, ``words_f1@<threshold>`` those with so good a detector,
        ``detectors_f1@<threshold>`` the different codes that these are, ``top<k>_f1`` and ``mean_f1`` (0-1),
        ``high_precision_words@<p>`` and ``high_precision_codes@<p>``; ``words_<n>_times`` are the counted words spoken
        at least so often, ``share_f1@<threshold>_of_them`` the share of these with so good a detector; ``codes`` that
        are used, ``codes_without_words`` that overlap none; ``utterances`` and ``frames`` that were counted.
        """
        counts, rules, best = self.counts, self.rules, self.best
        f1, often = self.f1[best], counts.spoken[counts.word[best]] >= rules.often
        frequent, used = int((self.counted & (counts.spoken >= rules.often)).sum()), int((counts.frames > 0).sum())
        found: dict[str, float] = {"words": len(best)}
        for threshold in rules.thresholds:
            found[f"words_f1@{threshold:g}"] = self.words_above(threshold)
            found[f"detectors_f1@{threshold:g}"] = len(np.unique(counts.code[best][f1 >= threshold]))
        found |= {f"top{rules.top}_f1": self.mean_f1(rules.top), "mean_f1": self.mean_f1()}
        found[f"high_precision_words@{rules.high_precision:g}"] = len(self.high_precision_words())
        found[f"high_precision_codes@{rules.high_precision:g}"] = self.high_precision_codes()
        found[f"words_{rules.often}_times"] = frequent
        if frequent:
            for threshold in rules.thresholds:
                found[f"share_f1@{threshold:g}_of_them"] = int((often & (f1 >= threshold)).sum()) / frequent
        return found | {
            "codes": used,
            "codes_without_words": used - len(np.unique(counts.code[self.reported])),
            "utterances": counts.utterances,
            "frames": int(counts.frames.sum()),
        }


def detect_words(
    codes: Sequence[np.ndarray],
    alignments: Sequence[Sequence[Word] | None],
    seconds: float,
    rules: DetectionRules = DetectionRules(),
    checked: bool = True,
) -> WordDetection:
    """Measure every code as a detector of every word.

    Args:
        codes: (T',) of each utterance.
        alignments: (start, end, word) in seconds of each utterance; None or nothing leaves the utterance out.
        seconds: that each code covers; the first begins at 0.
        rules: the rules of counting.
        checked: refuse codes that end before the last word does; otherwise a word without codes is never detected.

    Raises:
        WordDetectionError: no utterance has an alignment, or its codes end earlier, by more than the last frame.
        ValueError: there are not as many alignments as utterances.
    """
    for row, (own, words) in enumerate(zip(codes, alignments, strict=True)):
        if checked and words and words[-1][1] > (len(own) + 1) * seconds:
            raise WordDetectionError(
                f"utterance {row}: its {len(own)} codes of {seconds:g} s end at {len(own) * seconds:.2f} s, its last "
                f"word {words[-1][2]!r} at {words[-1][1]:g} s; expected codes of the whole utterance"
            )
    return WordDetection(count_meetings(codes, alignments, seconds, rules.halfwidth), rules)


def chance_of_words(
    codes: Sequence[np.ndarray],
    alignments: Sequence[Sequence[Word] | None],
    seconds: float,
    rules: DetectionRules = DetectionRules(),
) -> WordDetection:
    """Measure codes that cannot know the words: each utterance is given those of the next one that has words.

    Counts of codes and words, their lengths and their positions in a sentence stay nearly as they are, so that a code
    has to be better than this to know a word. Codes of a shorter utterance begin again where they end, those of a
    longer one are cut. Arguments are those of :func:`detect_words`; raises WordDetectionError where fewer than two
    utterances have words.
    """
    aligned = [(own, words) for own, words in zip(codes, alignments, strict=True) if words and len(own)]
    if len(aligned) < 2:
        raise WordDetectionError(
            f"{len(aligned)} utterances have words; chance takes the codes of another, expected two"
        )
    others = [aligned[(row + 1) % len(aligned)][0] for row in range(len(aligned))]
    swapped = [np.resize(other, len(own)) for other, (own, _) in zip(others, aligned, strict=True)]
    return detect_words(swapped, [words for _, words in aligned], seconds, rules, checked=False)
