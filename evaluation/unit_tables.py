"""Tables that the published unit analysis keeps beside F1: words of each code, codes of each word, norms.

After wnhsu/ResDAVEnet-VQ ``run_unit_analysis.py``, whose pickles these are as text: ``code_to_wordprec``,
``word_to_coderecall``, ``high_prec_words``, ``code_norms`` and ``utt2codes_utt2words``. Ties are in the order of words
and codes.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from common.files import write_whole
from evaluation.numbers import rounded
from evaluation.retrieval.tables import csv_text
from evaluation.word_detection.counts import Word
from evaluation.word_detection.detect import WordDetection

SHOWN = 3  # of each code or word in the texts, as published
Cells = tuple[str | int | float, ...]


def precision_rows(found: WordDetection) -> list[Cells]:
    """Return code, word, precision (0-1), frames that overlap the word, and the code's frames, of each pair found.

    Rows are sorted by code, and within a code the most precise word comes first.
    """
    counts = found.counts
    pairs = np.flatnonzero(found.reported)
    order = pairs[np.lexsort((counts.word[pairs], -counts.overlapping[pairs], counts.code[pairs]))]
    frames = counts.frames[counts.code[order]]
    words = [counts.words[word] for word in counts.word[order]]
    columns = (counts.code[order], words, found.precision[order], counts.overlapping[order], frames)
    return _rows(columns)


def recall_rows(found: WordDetection) -> list[Cells]:
    """Return word, code, recall (0-1), times that the word holds the code, and is spoken, of each pair in ``found``.

    Rows are sorted by word, stop words too, and within a word the code of the highest recall comes first.
    """
    counts = found.counts
    pairs = np.flatnonzero(counts.holding > 0)
    order = pairs[np.lexsort((counts.code[pairs], -counts.holding[pairs], counts.word[pairs]))]
    words = [counts.words[word] for word in counts.word[order]]
    spoken = counts.spoken[counts.word[order]]
    return _rows((words, counts.code[order], found.recall[order], counts.holding[order], spoken))


def _rows(columns: Sequence[Sequence[str] | np.ndarray]) -> list[Cells]:
    """Return columns as rows of plain values."""
    plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
    return list(zip(*plain, strict=True))


def write_unit_tables(folder: Path, layer: str, found: WordDetection, norms: np.ndarray) -> None:
    """Write ``precision_<layer>`` and ``recall_<layer>`` (CSV and text), and the lists of words and norms.

    The lists are ``high_precision_words_<layer>.txt`` and ``code_norms_<layer>.csv``, of the Euclidean ``norms`` (K,)
    of the codes' vectors.
    """
    precision, recall = precision_rows(found), recall_rows(found)
    frames = np.zeros(len(norms), np.int64)
    frames[: len(found.counts.frames)] = found.counts.frames
    texts = {
        f"precision_{layer}.csv": _csv(("code", "word", "precision", "count", "frames"), precision),
        f"recall_{layer}.csv": _csv(("word", "code", "recall", "count", "spoken"), recall),
        f"code_norms_{layer}.csv": _csv(("code", "norm", "frames"), _rows((range(len(norms)), norms, frames))),
        f"precision_{layer}.txt": _precision_text(found, precision),
        f"recall_{layer}.txt": "".join(_recall_lines(recall)),
        f"high_precision_words_{layer}.txt": "".join(f"{word}\n" for word in found.high_precision_words()),
    }
    for name, text in texts.items():
        write_whole(folder / name, text.encode())


def write_alignments(
    path: Path, names: Iterable[str], codes: Iterable[np.ndarray], words: Iterable[Sequence[Word]], seconds: float
) -> None:
    """Write one JSON a line for each utterance: its name, codes, the seconds that each covers, and its words.

    ``codes`` are (T',) of each utterance, the first code begins at 0 seconds; ``words`` are (start, end, word) in
    seconds.
    """
    lines = (
        json.dumps({"uttid": name, "seconds": seconds, "codes": own.tolist(), "words": [list(word) for word in spoken]})
        for name, own, spoken in zip(names, codes, words, strict=True)
    )
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())


def _csv(head: Cells, rows: Iterable[Cells]) -> str:
    return csv_text(head, ([rounded(cell) if isinstance(cell, float) else cell for cell in row] for row in rows))


def _precision_text(found: WordDetection, rows: list[Cells]) -> str:
    """Return the most precise words of each code, above the threshold with a star, and how many codes these are."""
    least, lines = found.rules.high_precision, []
    for code, group in groupby(rows, key=lambda row: row[0]):
        words = [*group]
        best = ", ".join(f"{word} {100 * share:.1f} %" for _, word, share, *_ in words[:SHOWN])
        star, times = "*" if words[0][2] >= least else " ", sum(row[3] for row in words)
        lines.append(f"{star} {code:4d} ({len(words)} words, {times} times): {best}\n")
    metrics = found.metrics()
    high, without = (int(metrics[name]) for name in (f"high_precision_codes@{least:g}", "codes_without_words"))
    codes = metrics["codes"]
    share = f"{100 * high / max(codes, 1):.1f} %"
    lines.append(f"{high} of {codes} codes ({share}) overlap a word with a precision of at least {least:g}\n")
    lines.append(f"{without} of {codes} codes overlap no word that is counted\n")
    return "".join(lines)


def _recall_lines(rows: list[Cells]) -> Iterable[str]:
    """Yield the codes of the highest recall of each word."""
    for word, group in groupby(rows, key=lambda row: row[0]):
        codes = [*group]
        best = ", ".join(f"{code} {100 * share:.1f} %" for _, code, share, *_ in codes[:SHOWN])
        yield f"{word} ({codes[0][4]} times): {best}\n"
