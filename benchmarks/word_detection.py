"""Word detection by codes in 20,000 utterances: intervals counted at once, against a loop over frames.

    python -m benchmarks.word_detection                      # a minute or two
    python -m benchmarks.word_detection --utterances 2000

Utterances are synthetic: as many words as asked for with pauses between them, of a vocabulary that follows Zipf's law.
While a word is spoken its own few codes are likely, otherwise any. The baseline counts as wnhsu/ResDAVEnet-VQ does
(``steps/unit_analysis.py``, ``steps/alignment.py``): a set of words for each frame, and dictionaries. Both must find
the same in a twentieth of the utterances.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.table import Row, best_times, options, print_table, timed
from evaluation.word_detection.counts import SILENCE, Counts, Word, count_meetings
from evaluation.word_detection.detect import DetectionRules, WordDetection

HALFWIDTH = 0.04  # seconds
OWN_CODES = 3  # of each word


class Meetings(NamedTuple):
    """The loop's counts."""

    frames: Counter  # of each code
    hearing: Counter  # frames of each code in which a word is spoken, by (code, word)
    spoken: Counter  # of each word
    holding: Counter  # times that a word is spoken and holds a code, by (code, word)


def synthetic(
    utterances: int, codes: int, vocabulary: int, words: int, seconds: float, duration: float
) -> tuple[list[np.ndarray], list[list[Word]]]:
    """Make codes (T',) and words (start, end, word) of utterances of about ``duration`` seconds, always the same."""
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
    """Count as the public code does: two pointers into an utterance's words, a set for each frame, dictionaries.

    ``halfwidth`` is of the window around a frame's centre, in seconds.
    """
    frames, hearing, spoken, holding = defaultdict(int), defaultdict(Counter), defaultdict(int), defaultdict(Counter)
    for own, words in ((own.tolist(), words) for own, words in zip(codes, alignments, strict=True) if words):
        for code, found in _words_by_frame(own, words, seconds, halfwidth):
            frames[code] += 1
            hearing[code].update(found)
        for start, end, word in words:
            spoken[word] += 1
            holding[word].update(set(own[max(int(np.floor(start / seconds)), 0) : int(np.ceil(end / seconds))]))
    pairs = {(code, word): count for code, found in hearing.items() for word, count in found.items()}
    held = {(code, word): count for word, found in holding.items() for code, count in found.items()}
    return Meetings(Counter(frames), Counter(pairs), Counter(spoken), Counter(held))


def _words_by_frame(
    own: list[int], words: Sequence[Word], seconds: float, halfwidth: float
) -> list[tuple[int, set[str]]]:
    """Return code and words of every frame of an utterance."""
    starts, ends, names = zip(*words, strict=True)
    found, first, behind = [], 0, 0
    for code, centre in [(code, (frame + 0.5) * seconds) for frame, code in enumerate(own)]:
        begin, end = centre - halfwidth, centre + halfwidth
        while first < len(names) and begin > ends[first]:
            first += 1
        while behind < len(names) and end > starts[behind]:
            behind += 1
        found.append((code, set(names[first:behind]) if behind > first else {SILENCE}))
    return found


def same(counts: Counts, meetings: Meetings) -> bool:
    """Return whether the ``counts`` of the fast way are the ``meetings`` of the loop."""
    keys = [(code, counts.words[word]) for code, word in zip(counts.code.tolist(), counts.word.tolist(), strict=True)]
    hearing = {key: count for key, count in zip(keys, counts.overlapping.tolist(), strict=True) if count}
    holding = {key: count for key, count in zip(keys, counts.holding.tolist(), strict=True) if count}
    frames = {code: count for code, count in enumerate(counts.frames.tolist()) if count}
    spoken = {word: count for word, count in zip(counts.words, counts.spoken.tolist(), strict=True) if count}
    return (frames, hearing, spoken, holding) == tuple(map(dict, meetings))


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
            "repeats": (2, "timed calls, the best counts"),
        },
    )
    seconds = 1 / sizes.rate
    codes, alignments = synthetic(sizes.utterances, sizes.codes, sizes.vocabulary, sizes.words, seconds, sizes.duration)
    given = codes, alignments, seconds, HALFWIDTH
    counts = count_meetings(*given)
    few = slice(0, 1 + len(codes) // 20)
    if not same(count_meetings(codes[few], alignments[few], *given[2:]), loop(codes[few], alignments[few], *given[2:])):
        sys.exit("the two ways count differently")
    ways = (lambda: count_meetings(*given), lambda: loop(*given))
    fast, straight = best_times(*ways, repeats=sizes.repeats)
    _, further = timed(lambda: WordDetection(counts, DetectionRules()).metrics())
    note = (
        f"{sizes.utterances} utterances, {sum(map(len, codes)) / 1e6:.1f} M frames; baseline: as the public code counts"
    )
    rows = [
        Row("codes and words, cpu", fast, straight, note=note),
        Row("precision, recall, F1 of these, cpu", further, note=f"{len(counts.code)} pairs of a code and a word"),
    ]
    print_table(f"word detection, {sizes.threads} threads", rows)


if __name__ == "__main__":
    main()
