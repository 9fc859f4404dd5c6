"""The loop over a similarity matrix that ranking on a CPU spends its time in, compiled by Numba.

Each entry is read once and compared with the bound of its row and with that of its column. The inner loops are written
so that the compiler turns them into vector instructions: 32-bit counts beside 32-bit scores, one pass for each purpose
over a row that is in the cache by then. Evaluation imports this file when a matrix is large enough to wait for it.

Shape letters: R rows, C columns.
"""

import numpy as np
from numba import njit
from numpy import int32

from evaluation.retrieval.queries import Queries

Array = np.ndarray
WHOLE = {"nogil": True, "cache": True}
NO_NANS = {"nnan", "nsz"}  # assumptions on a row once it was found finite


class Share:
    """Count what rows of ``values`` (R, C), float32 or float64, add to their ranks and to those of the columns.

    ``before_rows`` (R,) are the wrong answers before the right one of each row, ``wrong_score`` (R,) the similarity of
    each row's best wrong answer, -inf without one, and ``wrong`` (R,) its index among the columns; ``before_columns``,
    ``column_best`` and ``column_wrong`` (C,) are the same of the columns. ``finite`` says whether no entry is NaN or
    infinite. ``origin`` is the first row and column in the whole matrix.
    """

    def __init__(
        self, values: np.ndarray, rows: Queries, columns: Queries, origin: tuple[int, int], wrong: bool
    ) -> None:
        height, width = values.shape
        self.before_rows, self.before_columns = np.zeros(height, np.int32), np.zeros(width, np.int32)
        self.wrong_score, self.wrong = np.full(height, -np.inf, values.dtype), np.zeros(height, np.int32)
        self.column_best, self.column_wrong = np.full(width, -np.inf, values.dtype), np.zeros(width, np.int32)
        self.finite = _count(
            values,
            rows,
            columns._replace(below=columns.below.copy()),
            np.argsort(columns.match),
            origin,
            self.before_rows,
            self.before_columns,
        )
        if wrong and self.finite:
            _best_wrong(
                values, rows.label, columns.label, self.wrong_score, self.wrong, self.column_best, self.column_wrong
            )


@njit(**WHOLE)
def _count(
    values: Array,
    rows: Queries,
    columns: Queries,
    order: Array,
    origin: tuple[int, int],
    before_rows: Array,
    before_columns: Array,
) -> bool:
    """Count for all rows; returns whether all entries are finite.

    ``columns.below`` is changed: it is the score that an answer must exceed to come before a column's match, and from
    the match's row on that is the match's own score. ``order`` sorts the columns by the row of their match.
    """
    width = values.shape[1]
    bound, reached, finite = columns.below, 0, True
    largest = np.finfo(values.dtype).max
    for i in range(values.shape[0]):
        while reached < width and columns.match[order[reached]] <= origin[0] + i:
            bound[order[reached]] = columns.score[order[reached]]
            reached += 1
        cut = min(max(rows.match[i] - origin[1], 0), width)
        label = rows.label[i]
        for part, passed in ((slice(0, cut), rows.below[i]), (slice(cut, width), rows.score[i])):
            count, bad = _count_row(
                values[i, part], passed, label, bound[part], columns.label[part], before_columns[part], largest
            )
            before_rows[i] += count
            finite &= bad == 0
    return finite


@njit(**WHOLE)
def _count_row(
    row: Array, passed: float, label: int, bound: Array, labels: Array, before_columns: Array, largest: float
) -> tuple[int, int]:
    """Count the wrong answers above ``passed`` along a row, and note those above the columns' bounds.

    Returns the count, and how many entries are not within ``largest``.
    """
    count, bad = int32(0), int32(0)
    for j in range(len(row)):
        wrong = labels[j] != label
        count = int32(count + int32((row[j] > passed) & wrong))
        before_columns[j] += int32((row[j] > bound[j]) & wrong)
        bad = int32(bad + int32(not abs(row[j]) <= largest))
    return count, bad


@njit(**WHOLE)
def _best_wrong(
    values: Array,
    row_labels: Array,
    column_labels: Array,
    row_best: Array,
    row_wrong: Array,
    column_best: Array,
    column_wrong: Array,
) -> None:
    """Note the best wrong answer of every row and column; among equals the first one stays."""
    for i in range(values.shape[0]):
        row, label = values[i], row_labels[i]
        row_best[i] = _best_of_row(row, label, column_labels, column_best, column_wrong, int32(i))
        for j in range(len(row)):
            if row[j] == row_best[i] and column_labels[j] != label:
                row_wrong[i] = j
                break


@njit(**WHOLE, fastmath=NO_NANS)
def _best_of_row(row: Array, label: int, labels: Array, column_best: Array, column_wrong: Array, i: int) -> float:
    """Return the best wrong answer of row ``i``, and note it for the columns where it is their best so far."""
    best = row.dtype.type(-np.inf)
    for j in range(len(row)):
        value = row[j] if labels[j] != label else row.dtype.type(-np.inf)
        best = max(best, value)
        column_wrong[j] = i if value > column_best[j] else column_wrong[j]
        column_best[j] = max(column_best[j], value)
    return best
