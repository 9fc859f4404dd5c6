"""Ranks of the right answers, gathered tile by tile from a similarity matrix that need not exist as a whole.

The rank of a query counts the wrong answers that come before its best right answer: those with a higher score, and
those with the same score and a lower index (the order of a stable sort). It is therefore the same on every machine.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from evaluation.retrieval.queries import Queries

Tile = Callable[[slice, slice], Tensor]
LARGE = 1 << 22  # entries of a tile from which compiled code pays, which takes a second to load


class RetrievalError(UserError, ValueError):
    """Scores or groups from which no ranks can be taken."""


@dataclass(frozen=True)
class Direction:
    """Hold one direction of a retrieval: tensors (Q,) on the CPU, of Q queries."""

    rank: Tensor  # int64, 0-based, of the best right answer
    match: Tensor  # int64, index of that answer
    match_score: Tensor  # its similarity
    wrong: Tensor  # int64, index of the best wrong answer, -1 where there is none or it was not asked for
    wrong_score: Tensor  # its similarity, NaN where there is none
    matches: Tensor  # int64, right answers of each query
    candidates: int  # number of possible answers


class Found(NamedTuple):
    """Hold what a tile adds to its rows or to its columns; all (q,), tensors or arrays."""

    before: Tensor | np.ndarray  # wrong answers that come before the right one
    wrong_score: Tensor | np.ndarray  # similarity of the tile's best wrong answer, -inf if it has none
    wrong: Tensor | np.ndarray  # index of that answer in the tile, the lowest among equals


class _Direction:
    """Keep the state of one direction."""

    def __init__(self, labels: Tensor, candidates: int, dtype: torch.dtype) -> None:
        number, device = len(labels), labels.device
        self.labels, self.candidates = labels, candidates
        self.rank = torch.zeros(number, dtype=torch.int64, device=device)
        self.matches = torch.zeros(number, dtype=torch.int64, device=device)
        self.match = torch.full((number,), -1, dtype=torch.int64, device=device)
        self.match_score = torch.full((number,), -torch.inf, dtype=dtype, device=device)
        self.below = self.match_score
        self.wrong = torch.full((number,), -1, dtype=torch.int64, device=device)
        self.wrong_score = torch.full((number,), -torch.inf, dtype=dtype, device=device)

    def find(self, tile: Tensor, same: Tensor, queries: slice, first: int) -> None:
        """Note the best right answers, marked by ``same``, of a tile (queries, candidates from ``first`` on)."""
        self.matches[queries] += same.sum(1)
        best = tile.masked_fill(~same, -torch.inf).max(dim=1)
        _keep_best(*best, self.match_score[queries], self.match[queries], first)

    def found_all(self) -> bool:
        """Close the search for right answers; returns whether every query has one."""
        self.below = torch.nextafter(self.match_score, torch.full_like(self.match_score, -torch.inf))
        return bool(self.matches.all())

    def known(self, queries: slice) -> Queries:
        """Return what counting must know of a run of queries."""
        return Queries(self.match_score, self.below, self.match, self.labels).part(queries)

    def add(self, found: Found, queries: slice, first: int) -> None:
        """Add what a tile has found."""
        self.rank[queries] += found.before
        _keep_best(found.wrong_score, found.wrong, self.wrong_score[queries], self.wrong[queries], first)

    def result(self) -> Direction:
        """Return the ranks, matches and best wrong answers of all queries, on the CPU."""
        lost = self.wrong < 0
        return Direction(
            self.rank.cpu(),
            self.match.cpu(),
            self.match_score.cpu(),
            self.wrong.cpu(),
            self.wrong_score.masked_fill(lost, torch.nan).cpu(),
            self.matches.cpu(),
            self.candidates,
        )


def _keep_best(score: Tensor, position: Tensor, best: Tensor, index: Tensor, first: int) -> None:
    """Update the best scores and their indices in place; among equals the first candidate stays."""
    better = score > best
    best.copy_(torch.where(better, score, best))
    index.copy_(torch.where(better, position + first, index))


def _slices(total: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, total)) for start in range(0, total, step))


def _check_finite(values: Tensor, rows: slice, columns: slice) -> None:
    bad = ~values.isfinite()
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise RetrievalError(
            f"The similarity of image {rows.start + row} and spoken caption {columns.start + column} is "
            f"{values[row, column].item()}, expected a finite number. Look for NaNs in the features of these two items."
        )


def _small_labels(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Number the labels, so that 32 bits hold them."""
    numbers = torch.unique(torch.cat([rows, columns]), return_inverse=True)[1].int()
    return numbers[: len(rows)], numbers[len(rows) :]


def count_on_cpu(
    values: Tensor, rows: Queries, columns: Queries, origin: tuple[int, int], wrong: bool
) -> tuple[Found, Found, bool]:
    """Count a tile of similarities (r, c) in compiled code, a share of the rows for each of torch's threads.

    Returns what the tile, whose first row and column are ``origin``, adds to its rows and to its columns, and False if
    it holds NaN or infinity.
    """
    from evaluation.retrieval.counting_loop import (
        Share,  # compiled code: half a second that small evaluations need not wait
    )

    table, rows, columns = values.numpy(), rows.numpy(), columns.numpy()
    threads = torch.get_num_threads()
    edges = [len(table) * k // threads for k in range(threads + 1)]

    def share(a: int, b: int) -> Share:
        return Share(table[a:b], rows.part(slice(a, b)), columns, (origin[0] + a, origin[1]), wrong)

    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(share, edges[:-1], edges[1:]))
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
    """Count as :func:`count_on_cpu`, on any device, the whole tile at a time.

    Its last value is False if the tile may hold NaN or infinity (the sum is not finite).
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


def _find_matches(
    by_row: _Direction, by_column: _Direction, tile: Tile, rows: slice, columns: slice, aligned: bool
) -> None:
    """Note the best right answers of a tile in both directions; a tile without any is not asked for."""
    if aligned:
        both = slice(max(rows.start, columns.start), min(rows.stop, columns.stop))
        if both.start < both.stop:
            index = torch.arange(both.start, both.stop, device=by_row.rank.device)
            scores = tile(rows, columns)[index - rows.start, index - columns.start]
            for direction_ranks in (by_row, by_column):
                direction_ranks.match[both], direction_ranks.match_score[both], direction_ranks.matches[both] = (
                    index,
                    scores,
                    1,
                )
    elif bool(torch.isin(by_row.labels[rows], by_column.labels[columns]).any()):
        same = by_row.labels[rows, None] == by_column.labels[columns]
        values = tile(rows, columns)
        _check_finite(values, rows, columns)
        by_row.find(values, same, rows, columns.start)
        by_column.find(values.T, same.T, columns, rows.start)


def rank_tiles(
    tile: Tile,
    shape: tuple[int, int],
    step: tuple[int, int],
    groups: tuple[Tensor, Tensor] | None = None,
    wrong: bool = True,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Direction, Direction]:
    """Return ranks of columns for each row, and of rows for each column, of a similarity matrix given tile by tile.

    Tiles with right answers are asked for twice, the others once. Raises RetrievalError if a score is not finite or a
    query has no right answer.

    Args:
        tile: gives the similarities (r, c) of a run of r rows with a run of c columns.
        shape: rows R and columns C of the whole matrix.
        step: rows and columns of a tile.
        groups: integer labels of rows (R,) and columns (C,); equal labels are right answers. None: row i belongs to
            column i.
        wrong: whether the best wrong answers are wanted as well.
        device: where the tiles are.
        dtype: of the tiles, float32 or float64.
    """
    device = torch.device(device)
    labels = [torch.arange(n, dtype=torch.int32) for n in shape] if groups is None else _small_labels(*groups)
    by_row = _Direction(labels[0].to(device), shape[1], dtype)
    by_column = _Direction(labels[1].to(device), shape[0], dtype)
    tiles = [(r, c) for r in _slices(shape[0], step[0]) for c in _slices(shape[1], step[1])]
    for rows, columns in tiles:
        _find_matches(by_row, by_column, tile, rows, columns, groups is None)
    for direction_ranks, name in ((by_row, "image"), (by_column, "spoken caption")):
        if not direction_ranks.found_all():
            lonely = (direction_ranks.matches == 0).nonzero().flatten().tolist()
            raise RetrievalError(
                f"{len(lonely)} queries have no right answer, the first is {name} {lonely[0]}. "
                "Every label must occur among the images and among the spoken captions."
            )
    for rows, columns in tiles:
        values = tile(rows, columns)
        known, origin = (by_row.known(rows), by_column.known(columns)), (rows.start, columns.start)
        count = count_on_cpu if device.type == "cpu" and values.numel() >= LARGE else count_with_torch
        found = count(values, *known, origin, wrong)
        if not found[2]:
            _check_finite(values, rows, columns)
        by_row.add(found[0], rows, columns.start)
        by_column.add(found[1], columns, rows.start)
    return by_row.result(), by_column.result()
