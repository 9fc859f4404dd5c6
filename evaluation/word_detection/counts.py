"""Counts of how often codes and words meet, from which word detection by codes is measured, of millions of frames.

As wnhsu/ResDAVEnet-VQ counts (``steps/unit_analysis.py``, ``steps/alignment.py``; arXiv:1911.09602), without its loops:
each word covers an interval of frames, found for all words at once. Two kinds of meetings:

- a frame of a code overlaps a word if the window of ``halfwidth`` around the frame's centre does, for precision;
- a spoken word holds a code that one of its own frames has, for recall.

Shape letters: U utterances, N frames of all, W spoken words of all, K codes, V different words, P pairs that meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from evaluation.word_detection.segments import frames_between

SILENCE = "<SIL>"  # a window without a word, in the published analysis
Word = tuple[float, float, str]


class WordDetectionError(UserError):
    """Codes and words that do not belong together, or none at all."""


@dataclass(frozen=True)
class Counts:
    """Hold how often codes and words meet."""

    words: list[str]  # V different words in alphabetical order, :data:`SILENCE` among them
    frames: np.ndarray  # (K,) of each code in utterances with an alignment
    spoken: np.ndarray  # (V,) how often each word is spoken
    code: np.ndarray  # (P,) of each pair
    word: np.ndarray  # (P,) index of each pair's word
    overlapping: np.ndarray  # (P,) frames of the code that overlap the word; those without a word count for SILENCE
    holding: np.ndarray  # (P,) times that the word is spoken and holds the code
    utterances: int  # with an alignment, which alone are counted


def count_meetings(
    codes: Sequence[np.ndarray],
    alignments: Sequence[Sequence[Word] | None],
    seconds: float,
    halfwidth: float = 0.04,
) -> Counts:
    """Count how often each code meets each word.

    Args:
        codes: (T',) of each utterance.
        alignments: (start, end, word) in seconds of each utterance; None or nothing leaves the utterance out.
        seconds: that each code covers; the first begins at 0.
        halfwidth: of the window around a frame's centre, seconds.

    Raises:
        WordDetectionError: no utterance has an alignment.
        ValueError: there are not as many alignments as utterances.
    """
    used = [(one, words) for one, words in zip(codes, alignments, strict=True) if words]
    if not used:
        raise WordDetectionError(
            f"none of {len(alignments)} utterances has a word alignment; expected start__WORD__end tokens in the "
            "text_alignment of the list of utterances"
        )
    frames = _Frames.of([one for one, _ in used], seconds)
    spoken, vocabulary = _Spoken.of([words for _, words in used])
    size = (int(frames.codes.max(initial=-1)) + 1, len(vocabulary))
    overlapping = _overlapping(frames, spoken, halfwidth, size, vocabulary.index(SILENCE))
    holding = _holding(frames, spoken, size)
    pairs = _distinct(np.concatenate([overlapping[0], holding[0]]))
    return Counts(
        words=vocabulary,
        frames=np.bincount(frames.codes, minlength=size[0]),
        spoken=np.bincount(spoken.word, minlength=size[1]),
        code=pairs // size[1],
        word=pairs % size[1],
        overlapping=_looked_up(pairs, *overlapping),
        holding=_looked_up(pairs, *holding),
        utterances=len(used),
    )


class _Frames(NamedTuple):
    """All utterances' codes (N,) one after the other, where each (U,) begins and how many it has, and their seconds."""

    codes: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    seconds: float

    @classmethod
    def of(cls, codes: list[np.ndarray], seconds: float) -> "_Frames":
        lengths = np.array([len(one) for one in codes])
        return cls(np.concatenate(codes).astype(np.int64), np.cumsum(lengths) - lengths, lengths, seconds)


class _Spoken(NamedTuple):
    """All utterances' words one after the other, each (W,): seconds, number of the word, number of the utterance."""

    starts: np.ndarray
    ends: np.ndarray
    word: np.ndarray
    utterance: np.ndarray

    @classmethod
    def of(cls, alignments: list[Sequence[Word]]) -> tuple["_Spoken", list[str]]:
        """Return the words, and the word of each number."""
        starts, ends, names = zip(*chain(*alignments), strict=True)
        vocabulary = sorted({SILENCE, *names})
        number = {name: index for index, name in enumerate(vocabulary)}
        word = np.fromiter((number[name] for name in names), np.int64, len(names))
        utterance = np.repeat(np.arange(len(alignments)), [len(words) for words in alignments])
        return cls(np.array(starts, dtype=float), np.array(ends, dtype=float), word, utterance), vocabulary


def _overlapping(
    frames: _Frames, spoken: _Spoken, halfwidth: float, size: tuple[int, int], silence: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a code and a word that its frames overlap, and how many do."""
    own, limit = frames.offsets[spoken.utterance], frames.lengths[spoken.utterance]
    first, last = _overlapped(spoken, int(frames.lengths.max()), frames.seconds, halfwidth)
    first, last = own + np.minimum(first, limit), own + np.minimum(last, limit)
    first, order = _without_repeats(first, last, spoken)
    at, which = _expanded(first, last[order])
    silent = np.ones(len(frames.codes), dtype=bool)
    silent[at] = False
    codes = np.concatenate([frames.codes[at], frames.codes[silent]])
    words = np.concatenate([spoken.word[order][which], np.full(len(codes) - len(at), silence)])
    return _pairs(codes, words, size)


def _holding(frames: _Frames, spoken: _Spoken, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a code and a word in whose own frames it is, and how many times the word is spoken so."""
    own = frames.offsets[spoken.utterance]
    first, last = frames_between(spoken.starts, spoken.ends, frames.seconds, frames.lengths[spoken.utterance])
    at, which = _expanded(own + first, own + last)
    held = _distinct(which * size[0] + frames.codes[at])  # a spoken word holds a code once
    return _pairs(held % size[0], spoken.word[held // size[0]], size)


def _overlapped(spoken: _Spoken, longest: int, seconds: float, halfwidth: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (first, behind the last) whose windows each word overlaps, for utterances without an end.

    A window overlaps the words from the first that ends at its start or later to the last that begins before its end.
    As both only move forward, a word is overlapped from the first window that ends behind its start, and behind those
    of all words before it, up to the last that does not start behind its end.
    """
    centres = (np.arange(longest + 1) + 0.5) * seconds
    starts, ends = (_running_maximum(times, spoken.utterance) for times in (spoken.starts, spoken.ends))
    first = np.searchsorted(centres + halfwidth, starts, side="right")
    last = np.searchsorted(centres - halfwidth, ends, side="right")
    return first, np.maximum(first, last)


def _running_maximum(values: np.ndarray, utterance: np.ndarray) -> np.ndarray:
    """Return the largest value so far within each utterance (only alignments out of order change)."""
    values = values.copy()
    while True:  # each round repairs one entry of every run that is out of order
        late = np.flatnonzero((utterance[1:] == utterance[:-1]) & (values[1:] < values[:-1])) + 1
        if len(late) == 0:
            return values
        values[late] = values[late - 1]


def _without_repeats(first: np.ndarray, last: np.ndarray, spoken: _Spoken) -> tuple[np.ndarray, np.ndarray]:
    """Let a frame overlap the same word once: begin where the interval of the same word before it ends.

    Returns the firsts and the order of the words that they are in.
    """
    order = np.lexsort((spoken.word, spoken.utterance))  # stable: in time within each word of an utterance
    first, last, word, utterance = first[order], last[order], spoken.word[order], spoken.utterance[order]
    again = np.flatnonzero((utterance[1:] == utterance[:-1]) & (word[1:] == word[:-1])) + 1
    first[again] = np.maximum(first[again], last[again - 1])  # lasts never decrease within an utterance
    return first, order


def _expanded(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every index in the intervals [first, last), and the number of its interval."""
    sizes = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes - first, sizes), which


def _pairs(codes: np.ndarray, words: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs ``code * V + word`` that there are, ascending, and how often."""
    keys = codes * size[1] + words
    if size[0] * size[1] <= 8 * len(keys) + 1_000_000:  # a table of all pairs costs less than sorting
        table = np.bincount(keys, minlength=size[0] * size[1])
        found = np.flatnonzero(table)
        return found, table[found]
    return _counted(keys)


def _distinct(keys: np.ndarray) -> np.ndarray:
    """Return the different keys, ascending."""
    return _counted(keys)[0]


def _counted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different keys, ascending, and how often, by sorting: numpy's hashing is far slower for millions."""
    keys = np.sort(keys)
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    return keys[starts], np.diff(starts, append=len(keys))


def _looked_up(pairs: np.ndarray, keys: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return counts of pairs, 0 for those that are not among the keys."""
    found = np.zeros(len(pairs), dtype=np.int64)
    found[np.searchsorted(pairs, keys)] = counts
    return found
