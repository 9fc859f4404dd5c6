"""Word detection by codes in 20,000 utterances: intervals of frames counted at once, against a loop over every frame.

    python -m benchmarks.word_detection                      # a minute or two
    python -m benchmarks.word_detection --utterances 2000

Utterances are synthetic: as many words as asked for with pauses between them, of a vocabulary that follows Zipf's law.
While a word is spoken its own few codes are likely, otherwise any. The baseline goes through the frames of each
utterance with two pointers into its words and counts in dictionaries, as the public code does. Both must find the same.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from benchmarks.table import Row, options, print_table
from evaluation.word_counts import SILENCE, Counts, Word, count_meetings
from evaluation.word_detection import Detecting, WordDetection

HALFWIDTH = 0.04  # seconds
OWN_CODES = 3  # of each word
Result = TypeVar("Result")


class Meetings(NamedTuple):
    """What the loop counts.

    Attributes:
        frames: of each code.
        hearing: frames of each code that hear a word, by (code, word).
        spoken: of each word.
        holding: times that a word is spoken and holds a code, by (code, word).
    """

    frames: Counter
    hearing: Counter
    spoken: Counter
    holding: Counter


def synthetic(
    utterances: int, codes: int, vocabulary: int, words: int, seconds: float, duration: float
) -> tuple[list[np.ndarray], list[list[Word]]]:
    """Make codes and alignments of utterances, the same ones always.

    Args:
        utterances: how many.
        codes: K.
        vocabulary: different words.
        words: of an utterance, about.
        seconds: that each code covers.
        duration: of an utterance, about, seconds.

    Returns:
        Codes (T',) and (start, end, word) of each utterance.
    """
    draws = np.random.default_rng(0)
    names = [f"WORD{number}" for number in range(vocabulary)]
    likely = draws.integers(0, codes, (vocabulary, OWN_CODES))
    made, alignments = [], []
    for _ in range(utterances):
        frames = max(8, round(draws.normal(duration, duration / 5) / seconds))
        count = max(1, draws.poisson(words))
        edges = np.sort(draws.uniform(0, frames * seconds, 2 * count)).round(2)
        spoken = np.minimum(draws.zipf(1.3, count), vocabulary) - 1
        own = draws.integers(0, codes, frames)
        for start, end, word in zip(edges[::2], edges[1::2], spoken, strict=True):
            inside = slice(int(start / seconds), int(end / seconds))
            chosen = likely[word][draws.integers(0, OWN_CODES, frames)[inside]]
            own[inside] = np.where(draws.random(len(chosen)) < 0.7, chosen, own[inside])
        made.append(own)
        alignments.append([(*map(float, edges[2 * at : 2 * at + 2]), names[w]) for at, w in enumerate(spoken)])
    return made, alignments


def loop(
    codes: Sequence[np.ndarray], alignments: Sequence[Sequence[Word] | None], seconds: float, halfwidth: float
) -> Meetings:
    """Count frame by frame and word by word in dictionaries.

    Args:
        codes: (T',) of each utterance.
        alignments: (start, end, word) in seconds of each utterance, or nothing.
        seconds: that each code covers.
        halfwidth: of the window around a frame's centre, seconds.

    Returns:
        The counts.
    """
    frames, hearing, spoken, holding = Counter(), defaultdict(Counter), Counter(), defaultdict(Counter)
    for own, words in zip(codes, alignments, strict=True):
        if not words:
            continue
        own, first, behind = own.tolist(), 0, 0
        for frame, code in enumerate(own):
            centre = (frame + 0.5) * seconds
            while first < len(words) and words[first][1] < centre - halfwidth:
                first += 1
            while behind < len(words) and words[behind][0] < centre + halfwidth:
                behind += 1
            frames[code] += 1
            hearing[code].update({word for _, _, word in words[first:behind]} or {SILENCE})
        for start, end, word in words:
            inside = own[max(int(np.floor(start / seconds)), 0) : min(int(np.ceil(end / seconds)), len(own))]
            spoken[word] += 1
            holding[word].update(set(inside))
    pairs = {(code, word): count for code, found in hearing.items() for word, count in found.items()}
    held = {(code, word): count for word, found in holding.items() for code, count in found.items()}
    return Meetings(frames, Counter(pairs), spoken, Counter(held))


def same(counts: Counts, meetings: Meetings) -> bool:
    """Return whether the ``counts`` of the fast way are the ``meetings`` of the loop."""
    keys = [(code, counts.words[word]) for code, word in zip(counts.code.tolist(), counts.word.tolist(), strict=True)]
    hearing = {key: count for key, count in zip(keys, counts.hearing.tolist(), strict=True) if count}
    holding = {key: count for key, count in zip(keys, counts.holding.tolist(), strict=True) if count}
    frames = {code: count for code, count in enumerate(counts.frames.tolist()) if count}
    spoken = {word: count for word, count in zip(counts.words, counts.spoken.tolist(), strict=True) if count}
    return (frames, hearing, spoken, holding) == tuple(map(dict, meetings))


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of ``function`` and how long the call takes, in seconds."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    sizes = options(
        __doc__,
        {
            "utterances": (20000, "utterances"),
            "codes": (1024, "codes"),
            "vocabulary": (8000, "different words"),
            "words": (10, "words of an utterance"),
            "rate": (25.0, "codes a second"),
            "duration": (8.0, "seconds of an utterance"),
        },
    )
    seconds = 1 / sizes.rate
    codes, alignments = synthetic(sizes.utterances, sizes.codes, sizes.vocabulary, sizes.words, seconds, sizes.duration)
    meetings, straight = timed(lambda: loop(codes, alignments, seconds, HALFWIDTH))
    tries = [timed(lambda: count_meetings(codes, alignments, seconds, HALFWIDTH)) for _ in range(3)]
    counts, fast = min(tries, key=lambda found: found[1])
    if not same(counts, meetings):
        sys.exit("the two ways count differently")
    _, further = timed(lambda: WordDetection(counts, Detecting()).metrics())
    note = f"{sizes.utterances} utterances, {sum(map(len, codes)) / 1e6:.1f} M frames; same counts, frame by frame"
    rows = [
        Row("codes and words, cpu", fast, straight, note=note),
        Row("precision, recall, F1 of these, cpu", further, note=f"{len(counts.code)} pairs of a code and a word"),
    ]
    print_table(f"word detection, {sizes.threads} threads", rows)


if __name__ == "__main__":
    main()
