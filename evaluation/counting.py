"""The inner loop of ranking: what a tile of a similarity matrix adds to the ranks of its rows and of its columns.

On a CPU a tile is read once, in bands of whole rows that stay in the cache while they are compared with the bounds of
their rows and of their columns; threads share the rows. A comparison writes one byte per entry, and eight bytes are
added at a time as one 64-bit word; bands are small enough for no byte to pass 255.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BAND = 100  # rows of a band, so that its comparisons fit the cache and at most 255 bytes are added down a column
WORDS = 250  # words of eight bytes that are added along a row, at most 255
SEVERAL = 1 << 20  # entries above which threads pay


class Queries(NamedTuple):
    """The rows or the columns of a tile; all (q,), tensors or arrays.

    Attributes:
        score: similarity of the best right answer.
        below: the next smaller number.
        match: index of that answer, in the whole matrix.
        label: equal labels of a row and a column make a right answer.
    """

    score: Tensor | np.ndarray
    below: Tensor | np.ndarray
    match: Tensor | np.ndarray
    label: Tensor | np.ndarray

    def part(self, where: slice) -> "Queries":
        """A run of the queries."""
        return Queries(*(field[where] for field in self))

    def numpy(self) -> "Queries":
        """The same memory as arrays."""
        return Queries(*(field.numpy() for field in self))


class Found(NamedTuple):
    """What a tile adds to its rows or to its columns; all (q,), tensors or arrays.

    Attributes:
        before: wrong answers that come before the right one.
        wrong_score: similarity of the tile's best wrong answer, -inf if it has none.
        wrong: index of that answer in the tile, the lowest among equals.
    """

    before: Tensor | np.ndarray
    wrong_score: Tensor | np.ndarray
    wrong: Tensor | np.ndarray


def _runs(
    rows: Queries, columns: Queries, height: int, width: int, origin: tuple[int, int], aligned: bool
) -> Iterator[tuple[slice, bool]]:
    """Cut a band into runs of columns, and say which runs hold right answers."""
    if aligned:
        left, right = (min(max(row - origin[1], 0), width) for row in (origin[0], origin[0] + height))
        edges = [0, left, right, width]
        yield from ((slice(a, b), (a, b) == (left, right)) for a, b in pairwise(edges) if a < b)
        return
    edges = [*range(0, width, BAND), width]
    held = [bool(np.isin(columns.label[a:b], rows.label).any()) for a, b in pairwise(edges)]
    for mixed, run in groupby(zip(held, pairwise(edges), strict=True), key=lambda part: part[0]):
        ends = [end for _, end in run]
        yield slice(ends[0][0], ends[-1][1]), mixed


class _Share:
    """Counts of the rows that one thread looks at, a band of them at a time."""

    def __init__(self, values: np.ndarray, rows: Queries, columns: Queries, origin: tuple[int, int]) -> None:
        height, width = values.shape
        self.values, self.rows, self.columns, self.origin = values, rows, columns, origin
        self.finite = True
        self.before_rows, self.before_columns = np.zeros(height, np.int64), np.zeros(width, np.int64)
        self.wrong_score, self.wrong = np.full(height, -np.inf, values.dtype), np.zeros(height, np.int64)
        self.column_best, self.column_wrong = np.full(width, -np.inf, values.dtype), np.zeros(width, np.int64)

    def count(self, aligned: bool, wrong: bool) -> "_Share":
        """Count every band; returns itself, for the thread pool."""
        height, width = self.values.shape
        ahead = np.zeros((min(BAND, height), -(-width // (8 * WORDS)) * 8 * WORDS), dtype=bool)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, height, BAND):
                band = slice(start, min(start + BAND, height))
                self._band(band, ahead[: band.stop - start], aligned, wrong)
                # The sum sees NaN and infinity; einsum is the fastest way to it, and the band is in the cache by now.
                self.finite &= bool(np.isfinite(np.einsum("ij->i", self.values[band])).all())
        return self

    def _band(self, band: slice, ahead: np.ndarray, aligned: bool, wrong: bool) -> None:
        """Compare every entry with the bounds of its row and of its column, and add the results up as words."""
        values, rows, origin = self.values[band], self.rows.part(band), (self.origin[0] + band.start, self.origin[1])
        words = ahead.view(np.uint64)
        blocks = []
        for run, mixed in _runs(rows, self.columns, *values.shape, origin, aligned):
            columns, block, corner = self.columns.part(run), values[:, run], (origin[0], origin[1] + run.start)
            if mixed:
                right = rows.label[:, None] == columns.label
                block = np.where(right, -np.inf, block).astype(block.dtype, copy=False)
            np.greater(block, _bound(rows, corner[1], block.shape[1], mixed), out=ahead[:, run])
            blocks.append((block, run, _bound(columns, corner[0], len(block), mixed).T))
        sums = np.add.reduce(words.reshape(len(words), -1, WORDS), axis=2)
        self.before_rows[band] += sums.view(np.uint8).reshape(len(sums), -1).sum(1, dtype=np.int64)
        for block, run, bound in blocks:
            np.greater(block, bound, out=ahead[:, run])
        self.before_columns += np.add.reduce(words, axis=0).view(np.uint8)[: len(self.before_columns)]
        for block, run, _ in blocks if wrong else ():
            self._wrong(block, band, run)

    def _wrong(self, block: np.ndarray, band: slice, run: slice) -> None:
        """Note the best wrong answers; among equals the first one stays."""
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


def count_on_cpu(
    values: Tensor, rows: Queries, columns: Queries, origin: tuple[int, int], aligned: bool, wrong: bool
) -> tuple[Found, Found, bool]:
    """Count on the CPU, see :func:`count_with_torch`; ``aligned``: right answers are where row equals column."""
    table, rows, columns = values.numpy(), rows.numpy(), columns.numpy()
    threads = torch.get_num_threads() if table.size > SEVERAL else 1
    edges = [len(table) * k // threads for k in range(threads + 1)]
    shares = [
        _Share(table[a:b], rows.part(slice(a, b)), columns, (origin[0] + a, origin[1])) for a, b in pairwise(edges)
    ]
    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(lambda share: share.count(aligned, wrong), shares))
    by_row = [np.concatenate([getattr(s, name) for s in shares]) for name in ("before_rows", "wrong_score", "wrong")]
    best = np.stack([share.column_best for share in shares])
    index = np.stack([share.column_wrong + first for share, first in zip(shares, edges, strict=False)])
    winner = best.argmax(axis=0)[None]
    by_column = (
        sum(share.before_columns for share in shares),
        np.take_along_axis(best, winner, 0)[0],
        np.take_along_axis(index, winner, 0)[0],
    )
    finite = all(share.finite for share in shares)
    return Found(*map(torch.from_numpy, by_row)), Found(*map(torch.from_numpy, by_column)), finite


def count_with_torch(
    values: Tensor, rows: Queries, columns: Queries, origin: tuple[int, int], wrong: bool
) -> tuple[Found, Found, bool]:
    """Count on any device, the whole tile at a time.

    Args:
        values: similarities (r, c), float32 or float64.
        rows: what is known of the rows.
        columns: what is known of the columns.
        origin: first row and first column of the tile in the whole matrix.
        wrong: whether the best wrong answers are wanted.

    Returns:
        What the tile adds to its rows and to its columns, and False if it may hold NaN or infinity (the sum is not
        finite).
    """
    finite = bool(values.sum(dtype=torch.float64).isfinite())
    values = values.masked_fill(rows.label[:, None] == columns.label, -torch.inf)
    return (
        _count_rows(values, rows, origin[1], wrong),
        _count_rows(values.T, columns, origin[0], wrong),
        finite,
    )


def _count_rows(values: Tensor, queries: Queries, first: int, wrong: bool) -> Found:
    index = torch.arange(first, first + values.shape[1], device=values.device)
    bound = torch.where(index < queries.match[:, None], queries.below[:, None], queries.score[:, None])
    before = (values > bound).sum(1)
    if wrong:
        return Found(before, *values.max(dim=1))
    return Found(before, torch.full_like(queries.score, -torch.inf), torch.zeros_like(before))
