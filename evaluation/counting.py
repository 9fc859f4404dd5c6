"""The inner loop of ranking: what a tile of a similarity matrix adds to the ranks of its rows and of its columns.

On a CPU a tile is read once, in blocks that stay in the cache while they are compared with the bounds of their rows
and of their columns; threads share its bands of rows. A comparison writes one byte per entry, and eight bytes are added
at a time as one 64-bit word; blocks are small enough for no byte to pass 255.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BAND = 250  # rows of a block: at most 255 bytes are added down a column
WIDTH = 2000  # columns of a block, a multiple of 8: at most 255 words of eight bytes are added along a row
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


def _pieces(
    rows: Queries, columns: Queries, height: int, width: int, origin: tuple[int, int], aligned: bool
) -> Iterator[tuple[slice, bool]]:
    """Cut a band into runs of columns, and say which runs hold right answers."""
    if aligned:
        left, right = (min(max(row - origin[1], 0), width) for row in (origin[0], origin[0] + height))
        edges = [*range(0, left, WIDTH), *range(left, right, BAND), *range(right, width, WIDTH), width]
        yield from ((slice(a, b), left <= a < right) for a, b in pairwise(edges))
        return
    for start in range(0, width, WIDTH):
        run = slice(start, min(start + WIDTH, width))
        if not np.isin(columns.label[run], rows.label).any():
            yield run, False
            continue
        for a in range(run.start, run.stop, BAND):
            part = slice(a, min(a + BAND, run.stop))
            yield part, bool(np.isin(columns.label[part], rows.label).any())


class _Band:
    """Counts of a band of at most BAND rows."""

    def __init__(self, values: np.ndarray, rows: Queries, columns: Queries, origin: tuple[int, int]) -> None:
        self.values, self.rows, self.columns, self.origin = values, rows, columns, origin
        height, width = values.shape
        self.total = np.float64(0)
        self.before_rows, self.before_columns = np.zeros(height, np.int64), np.zeros(width, np.int64)
        self.wrong_score = np.full(height, -np.inf, values.dtype)
        self.wrong = np.zeros(height, np.int64)
        self.column_best = np.full(width, -np.inf, values.dtype)
        self.mask = np.zeros((height, WIDTH), dtype=bool)

    def count(self, aligned: bool, wrong: bool) -> "_Band":
        """Compare every entry with the bounds of its row and column and add up; returns itself, for the thread pool."""
        with np.errstate(over="ignore", invalid="ignore"):
            for run, mixed in _pieces(self.rows, self.columns, *self.values.shape, self.origin, aligned):
                block = self.values[:, run]
                # The sum sees NaN and infinity; over one axis at a time it is several times faster than over both.
                self.total += block.sum(axis=0).sum(dtype=np.float64)
                if mixed:
                    block = self._mixed(block, run)
                else:
                    self._plain(block, run)
                if wrong:
                    self._wrong(block, run)
        return self

    def _plain(self, block: np.ndarray, run: slice) -> None:
        """A block without right answers: every match is on one side of it, so one bound per query will do."""
        rows, columns, width = self.rows, self.columns.part(run), block.shape[1]
        row_bound = np.where(rows.match < self.origin[1] + run.start, rows.score, rows.below)
        column_bound = np.where(columns.match < self.origin[0], columns.score, columns.below)
        words = self.mask[:, : -(-width // 8) * 8]
        words[:, width:] = False
        np.greater(block, row_bound[:, None], out=words[:, :width])
        sums = np.add.reduce(words.view(np.uint64), axis=1)
        self.before_rows += sums.view(np.uint8).reshape(len(block), 8).sum(1, dtype=np.int64)
        np.greater(block, column_bound, out=words[:, :width])
        self.before_columns[run] = np.add.reduce(words.view(np.uint64), axis=0).view(np.uint8)[:width]

    def _mixed(self, block: np.ndarray, run: slice) -> np.ndarray:
        """A block with right answers, which it returns as -inf; equal scores count up to the match."""
        rows, columns = self.rows, self.columns.part(run)
        block = np.where(rows.label[:, None] == columns.label, -np.inf, block).astype(block.dtype, copy=False)
        row_index = np.arange(self.origin[0], self.origin[0] + len(block))[:, None]
        column_index = np.arange(self.origin[1] + run.start, self.origin[1] + run.stop)
        bound = np.where(column_index < rows.match[:, None], rows.below[:, None], rows.score[:, None])
        self.before_rows += (block > bound).sum(1)
        bound = np.where(row_index < columns.match, columns.below, columns.score)
        self.before_columns[run] = (block > bound).sum(0)
        return block

    def _wrong(self, block: np.ndarray, run: slice) -> None:
        index = block.argmax(axis=1)
        score = np.take_along_axis(block, index[:, None], axis=1)[:, 0]
        better = score > self.wrong_score
        self.wrong_score[better] = score[better]
        self.wrong[better] = index[better] + run.start
        self.column_best[run] = block.max(axis=0)

    def locate(self, chosen: np.ndarray) -> np.ndarray:
        """First rows of the chosen columns that hold the column's best wrong answer."""
        best = self.values[:, chosen] == self.column_best[chosen]
        return (best & (self.rows.label[:, None] != self.columns.label[chosen])).argmax(axis=0)


def count_on_cpu(
    values: Tensor, rows: Queries, columns: Queries, origin: tuple[int, int], aligned: bool, wrong: bool
) -> tuple[Found, Found, bool]:
    """Count on the CPU, see :func:`count_with_torch`; ``aligned``: right answers are where row equals column."""
    table, rows, columns = values.numpy(), rows.numpy(), columns.numpy()
    number = -(-len(table) // BAND)
    edges = [len(table) * k // number for k in range(number + 1)]
    bands = [_Band(table[a:b], rows.part(slice(a, b)), columns, (origin[0] + a, origin[1])) for a, b in pairwise(edges)]
    threads = torch.get_num_threads() if table.size > SEVERAL else 1
    if threads == 1:
        bands = [band.count(aligned, wrong) for band in bands]
    else:
        with ThreadPoolExecutor(threads) as pool:
            bands = list(pool.map(lambda band: band.count(aligned, wrong), bands))
    by_row = [np.concatenate([getattr(b, name) for b in bands]) for name in ("before_rows", "wrong_score", "wrong")]
    best = np.stack([band.column_best for band in bands])
    winner = best.argmax(axis=0)
    index = np.zeros(len(winner), np.int64)
    for number, band in enumerate(bands if wrong else []):
        chosen = np.flatnonzero(winner == number)
        index[chosen] = band.locate(chosen) + edges[number]
    by_column = (sum(band.before_columns for band in bands), best.max(axis=0), index)
    finite = bool(np.isfinite(sum(band.total for band in bands)))
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
