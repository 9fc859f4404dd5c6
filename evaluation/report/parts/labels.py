"""Labels for people: names of training curves, and positions of a caption's words under its time axis."""

import re
from collections.abc import Sequence
from typing import NamedTuple

LETTER, CAPITAL, GAP = 7.0, 9.0, 6.0  # pixels of a letter at the size of the labels, and between two labels
ROWS = 3
WIDTHS = (560.0, 300.0)  # pixels of the time axis on a wide and on a narrow screen
NEAR = 10  # ranks that are near: those of recall@10
ARTICLES = frozenset({"a", "an", "the"})
FUNCTION_WORDS = ARTICLES | frozenset({
    "and", "or", "but", "of", "to", "in", "on", "at", "by", "for", "from", "with", "as", "that", "this", "these",
    "those", "there", "here", "is", "are", "was", "were", "be", "been", "am", "has", "have", "had", "do", "does",
    "can", "could", "will", "would", "may", "it", "its", "he", "she", "they", "we", "you", "i", "his", "her",
    "their", "my", "our", "your",
})  # fmt: skip
PUNCTUATION = ".,;:!?\"'()"
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
RANKED = {"A": "the caption for an image", "I": "the image for a caption"}
NAMES = {
    "train/loss": "training loss",
    "speed/samples_per_second": "training speed (samples per second)",
    "speed/data_wait_fraction": "time spent waiting for data",
}


class CurveName(NamedTuple):
    """Name a logged value."""

    title: str  # its name on the page
    percent: bool  # it is a share (0-1) that reads best in percent
    rank: bool = False  # it is a rank, which counts from 1


def curve_name(logged: str) -> CurveName:
    """Name a curve for people, given a logged name such as ``validation/recall@10`` or ``learning_rate/encoders``.

    A name that follows none of the trainer's habits is kept as it is.
    """
    head, _, rest = logged.partition("/")
    percent = rest.startswith(("recall@", "chance_recall@", "A_r", "I_r")) or rest.endswith("_fraction")
    if logged in NAMES:
        return CurveName(NAMES[logged], percent)
    if head == "learning_rate":
        return CurveName(f"learning rate of the {_spaced(rest)}", percent)
    if head not in SPLITS or not rest:
        return CurveName(logged, percent)
    split = SPLITS[head]
    if rest.startswith("recall@"):
        return CurveName(f"{rest} ({split})", percent)
    if rank := re.fullmatch(r"(median|mean)_rank_([AI])", rest):
        return CurveName(f"{rank[1]} rank of {RANKED[rank[2]]} ({split})", percent, rank=True)
    if recall := re.fullmatch(r"([AI])_r(\d+)", rest):
        return CurveName(f"recall@{recall[2]} of {RANKED[recall[1]]} ({split})", percent)
    return CurveName(f"{split}: {_spaced(rest)}", percent)


def grade(rank: int) -> str:
    """Return the class of a ``rank`` from 0 on: the first is a hit, the next nine are near, all others missed."""
    return "hit" if rank == 0 else "near" if rank < NEAR else "miss"


def function_words(words: Sequence[str]) -> list[bool]:
    """Return for each word of a caption whether it is an English function word, which says nothing of an image.

    A caption without an English article, or with letters beyond ASCII, is taken to be in another language, in which
    "was" or "at" may be a noun: none of its words is one.
    """
    bare = [word.strip(PUNCTUATION).lower() for word in words]
    english = not ARTICLES.isdisjoint(bare) and all(map(str.isascii, bare))
    return [english and word in FUNCTION_WORDS for word in bare]


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("/", ", ")


class Position(NamedTuple):
    """Place a label."""

    left: float  # its left edge in percent of the axis
    row: int | None  # from 0; None where it finds no room


def rows_of_words(words: Sequence[tuple[float, float, str]], seconds: float, width: float) -> list[Position]:
    """Spread the words of a caption over a few rows below the time axis, so that none overlaps or leaves the axis.

    Each of the words, (start, end, word) in spoken order, is centred below its time as far as the edges allow;
    ``seconds`` is the length of the axis and ``width`` its pixels.
    """
    free = [0.0] * ROWS
    positions = []
    for start, end, word in words:
        long = min(width, sum(CAPITAL if letter.isupper() else LETTER for letter in word))
        left = min(max(0.0, (start + min(end, seconds)) / 2 / seconds * width - long / 2), width - long)
        row = next((row for row, edge in enumerate(free) if edge <= left), None)
        if row is not None:
            free[row] = left + long + GAP
        positions.append(Position(100 * left / width, row))
    return positions
