"""Counting on a CPU: a tile is read once, in bands of whole rows that stay in the cache.

A band is compared with the bounds of its rows and of its columns; threads share the rows. A comparison writes one byte
per entry, and eight bytes are added at a time as one 64-bit word; bands are small enough for no byte to pass 255. Few
calls on much memory each: what a call costs by itself is paid with the interpreter locked.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, pairwise

import numpy as np

from evaluation.queries import Queries

BAND = 100  # rows of a band, so that its comparisons fit the cache and at most 255 bytes are added down a column
WORDS = 250  # words of eight bytes that are added along a row, at most 255


def _runs(rows: Queries, columns: Queries, width: int) -> Iterator[tuple[slice, bool]]:
    """Cut a band into runs of columns, and say which runs hold right answers."""
    edges = [*range(0, width, BAND), width]
    held = [bool(np.isin(columns.label[a:b], rows.label).any()) for a, b in pairwise(edges)]
    for mixed, run in groupby(zip(held, pairwise(edges), strict=True), key=lambda part: part[0]):
        ends = [end for _, end in run]
        yield slice(ends[0][0], ends[-1][1]), mixed


@lru_cache(maxsize=8)
def _order(height: int, width: int, shift: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (height, width) of a square whose row k belongs to column k + shift: columns before, at and after it."""
    after = np.arange(width) - np.arange(shift, shift + height)[:, None]
    return after < 0, after == 0, after > 0


class Share:
    """Counts of the rows that one thread looks at, a band of them at a time."""

    def __init__(self, values: np.ndarray, rows: Queries, columns: Queries, origin: tuple[int, int]) -> None:
        height, width = values.shape
        self.values, self.rows, self.columns, self.origin = values, rows, columns, origin
        self.finite = True
        self.before_rows, self.before_columns = np.zeros(height, np.int64), np.zeros(width, np.int64)
        self.wrong_score, self.wrong = np.full(height, -np.inf, values.dtype), np.zeros(height, np.int64)
        self.column_best, self.column_wrong = np.full(width, -np.inf, values.dtype), np.zeros(width, np.int64)

    def count(self, aligned: bool, wrong: bool) -> "Share":
        """Count every band; returns itself, for the thread pool."""
        height, width = self.values.shape
        ahead = np.zeros((min(BAND, height), -(-width // (8 * WORDS)) * 8 * WORDS), dtype=bool)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, height, BAND):
                band = slice(start, min(start + BAND, height))
                (self._pairs if aligned else self._groups)(band, ahead[: band.stop - start], wrong)
                # The sum sees NaN and infinity; einsum is the fastest way to it, and the band is in the cache by now.
                self.finite &= bool(np.isfinite(np.einsum("ij->i", self.values[band])).all())
        if aligned:
            self._leave_out_pairs()
        return self

    def _pairs(self, band: slice, ahead: np.ndarray, wrong: bool) -> None:
        """Where row and column of the same index belong together.

        Left of the square around the diagonal every column comes before the rows' matches, right of it none does, and
        for the columns the other way round. In the square equal scores are looked for by themselves.
        """
        values, rows, columns = self.values[band], self.rows.part(band), self.columns
        height, width = values.shape
        first = self.origin[0] + band.start - self.origin[1]
        left, right = min(max(first, 0), width), min(max(first + height, 0), width)
        np.greater(values[:, :left], rows.below[:, None], out=ahead[:, :left])
        np.greater(values[:, left:], rows.score[:, None], out=ahead[:, left:width])
        self._add_rows(band, ahead)
        np.greater(values[:, :right], columns.score[:right], out=ahead[:, :right])
        np.greater(values[:, right:], columns.below[right:], out=ahead[:, right:width])
        self._add_columns(ahead)
        square, own = values[:, left:right], columns.part(slice(left, right))
        earlier, pair, later = _order(*square.shape, first - left)
        equal = (square == rows.score[:, None]) & earlier
        if equal.any():
            self.before_rows[band] += equal.sum(1)
        equal = (square == own.score) & later
        if equal.any():
            self.before_columns[left:right] += equal.sum(0)
        if wrong:
            self._wrong(values[:, :left], band, slice(0, left))
            self._wrong(np.where(pair, -np.inf, square).astype(square.dtype, copy=False), band, slice(left, right))
            self._wrong(values[:, right:], band, slice(right, width))

    def _leave_out_pairs(self) -> None:
        """Take back what right answers added to their own row and column."""
        shift = self.origin[0] - self.origin[1]
        row = np.arange(max(0, -shift), min(len(self.before_rows), len(self.before_columns) - shift))
        value = self.values[row, row + shift]
        self.before_rows[row] -= value > self.rows.score[row]
        self.before_columns[row + shift] -= value > self.columns.score[row + shift]

    def _add_rows(self, band: slice, ahead: np.ndarray) -> None:
        sums = np.add.reduce(ahead.view(np.uint64).reshape(len(ahead), -1, WORDS), axis=2)
        self.before_rows[band] += sums.view(np.uint8).reshape(len(sums), -1).sum(1, dtype=np.int64)

    def _add_columns(self, ahead: np.ndarray) -> None:
        sums = np.add.reduce(ahead.view(np.uint64), axis=0)
        self.before_columns += sums.view(np.uint8)[: len(self.before_columns)]

    def _groups(self, band: slice, ahead: np.ndarray, wrong: bool) -> None:
        """Where labels say which answers are right: in runs of columns that hold such answers or do not."""
        values, rows, origin = self.values[band], self.rows.part(band), (self.origin[0] + band.start, self.origin[1])
        blocks = []
        for run, mixed in _runs(rows, self.columns, values.shape[1]):
            columns, block, corner = self.columns.part(run), values[:, run], (origin[0], origin[1] + run.start)
            if mixed:
                right = rows.label[:, None] == columns.label
                block = np.where(right, -np.inf, block).astype(block.dtype, copy=False)
            np.greater(block, _bound(rows, corner[1], block.shape[1], mixed), out=ahead[:, run])
            blocks.append((block, run, _bound(columns, corner[0], len(block), mixed).T))
        self._add_rows(band, ahead)
        for block, run, bound in blocks:
            np.greater(block, bound, out=ahead[:, run])
        self._add_columns(ahead)
        for block, run, _ in blocks if wrong else ():
            self._wrong(block, band, run)

    def _wrong(self, block: np.ndarray, band: slice, run: slice) -> None:
        """Note the best wrong answers; among equals the first one stays."""
        if not block.size:
            return
        index = block.argmax(axis=1)
        score = np.take_along_axis(block, index[:, None], axis=1)[:, 0]
        better = score > self.wrong_score[band]
        self.wrong_score[band][better] = score[better]
        self.wrong[band][better] = index[better] + run.start
        best = block.max(axis=0)
        better = np.flatnonzero(best > self.column_best[run])
        self.column_best[run][better] = best[better]
        self.column_wrong[run][better] = (block[:, better] == best[better]).argmax(axis=0) + band.start


def _bound(queries: Queries, first: int, number: int, mixed: bool) -> np.ndarray:
    """What answers from ``first`` on must pass to come before the right one (q, number or 1).

    Equal scores count up to the match. Where no answer is right, every match is on one side of them all, so that one
    bound per query will do.
    """
    if not mixed:
        later = queries.match > first
        number_later = np.count_nonzero(later)
        if number_later in (0, len(later)):
            return (queries.below if number_later else queries.score)[:, None]
        return np.where(later, queries.below, queries.score)[:, None]
    index = np.arange(first, first + number)
    return np.where(index < queries.match[:, None], queries.below[:, None], queries.score[:, None])
