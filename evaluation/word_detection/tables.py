"""Tables of word detection as text, CSV and LaTeX: the best code of each word, and the words of each code."""

from collections.abc import Sequence
from pathlib import Path

from common.files import write_whole
from evaluation.numbers import rounded
from evaluation.retrieval.tables import csv_text
from evaluation.word_detection.detect import Detector, WordDetection

HEADER = ("rank", "word", "code", "f1", "precision", "recall", "count", "spoken")
TITLES = ("rk", "word", "code", "F1", "prec.", "recall", "count", "spoken")
SPECIAL = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"})
WORDY = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
Row = tuple[int, Detector]


def word_rows(found: WordDetection) -> list[Row]:
    """Return each word of ``found``, the measured pairs, with its best code, ranked from 1."""
    return list(enumerate(found.words(), 1))


def code_rows(found: WordDetection, show: int = 5) -> list[Row]:
    """Return at most ``show`` nearest words of each code, ranked from 1; codes with the best words come first."""
    nearest = found.nearest(show)
    order = sorted(nearest, key=lambda code: (-nearest[code][0].f1, code))
    return [row for code in order for row in enumerate(nearest[code], 1)]


def as_text(rows: Sequence[Row], most: int | None = None) -> str:
    """Return ranked rows, at most ``most``, as a table of plain text, shares in percent."""
    lines = [TITLES, *(_percent_cells(row) for row in rows[:most])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    left = TITLES.index("word")
    return "".join(
        "  ".join(
            cell.ljust(width) if column == left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )


def as_csv(rows: Sequence[Row]) -> str:
    """Return ``rows``, ranked detectors, as CSV, shares 0-1."""
    return csv_text(
        HEADER,
        (
            (rank, one.word, one.code, *map(rounded, (one.f1, one.precision, one.recall)), one.count, one.spoken)
            for rank, one in rows
        ),
    )


def as_latex(rows: Sequence[Row], most: int | None = None) -> str:
    """Return ranked rows, at most ``most``, as a LaTeX ``tabular``, shares in percent."""
    lines = (" & ".join(_latex(cell) for cell in _percent_cells(row)) + r" \\" for row in rows[:most])
    head = " & ".join(TITLES) + r" \\ \hline"
    return "\n".join([r"\begin{tabular}{rlrrrrrr}", head, *lines, r"\end{tabular}", ""])


def write_word_tables(folder: Path, layer: str, found: WordDetection, most: int) -> None:
    """Write ``words_<layer>`` and ``codes_<layer>`` as ``.txt``, ``.csv`` (every row) and ``.tex``.

    Text and LaTeX have ``most`` rows at most.
    """
    for name, rows in (("words", word_rows(found)), ("codes", code_rows(found))):
        for ending, text in (("txt", as_text(rows, most)), ("csv", as_csv(rows)), ("tex", as_latex(rows, most))):
            write_whole(folder / f"{name}_{layer}.{ending}", text.encode())


def _percent_cells(row: Row) -> tuple[str, ...]:
    rank, one = row
    shares = (f"{100 * share:.1f}" for share in (one.f1, one.precision, one.recall))
    return (str(rank), one.word.lower(), str(one.code), *shares, str(one.count), str(one.spoken))


def _latex(text: str) -> str:
    """Return text as LaTeX prints it."""
    return "".join(WORDY.get(character, character.translate(SPECIAL)) for character in text)
