"""Ranks of the right answers, gathered tile by tile from a similarity matrix that need not exist as a whole.

The rank of a query counts the wrong answers that come before its best right answer: those with a higher score, and
those with the same score and a lower index (the order of a stable sort). It is therefore the same on every machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import UserError
from evaluation.counting import count_above

BLOCK = 128
Tile = Callable[[slice, slice], Tensor]


class RetrievalError(UserError, ValueError):
    """Scores or groups from which no ranks can be taken."""


@dataclass(frozen=True)
class Direction:
    """One direction of a retrieval; all tensors are on the CPU, Q queries, ``candidates`` possible answers.

    Attributes:
        rank: 0-based rank of the best right answer (Q,) int64.
        match: index of that answer (Q,) int64.
        match_score: its similarity (Q,).
        wrong: index of the best wrong answer (Q,) int64, -1 where there is none or it was not asked for.
        wrong_score: its similarity (Q,), NaN where there is none.
        matches: right answers of each query (Q,) int64.
        candidates: number of possible answers.
    """

    rank: Tensor
    match: Tensor
    match_score: Tensor
    wrong: Tensor
    wrong_score: Tensor
    matches: Tensor
    candidates: int


class _Side:
    """The state of one direction. Tiles come as (queries, candidates) in the order of the candidates."""

    def __init__(self, queries: int, candidates: int, wrong: bool, device: torch.device, dtype: torch.dtype) -> None:
        self.candidates = candidates
        self.want_wrong = wrong
        self.rank = torch.zeros(queries, dtype=torch.int64, device=device)
        self.matches = torch.zeros(queries, dtype=torch.int64, device=device)
        self.match = torch.full((queries,), -1, dtype=torch.int64, device=device)
        self.match_score = torch.full((queries,), -torch.inf, dtype=dtype, device=device)
        self.wrong = torch.full((queries,), -1, dtype=torch.int64, device=device)
        self.wrong_score = torch.full((queries,), -torch.inf, dtype=dtype, device=device)
        self.just_below = self.match_score

    def find(self, tile: Tensor, same: Tensor, queries: slice, first: int) -> None:
        """Note the best right answers of a tile; ``same`` marks right answers, ``first`` is its first candidate."""
        self.matches[queries] += same.sum(1)
        _keep_best(tile.masked_fill(~same, -torch.inf), self.match_score, self.match, queries, first)

    def found(self) -> bool:
        """Close the search for right answers; returns whether every query has one."""
        self.just_below = torch.nextafter(self.match_score, torch.full_like(self.match_score, -torch.inf))
        return bool(self.matches.all())

    def bound(self, queries: slice, first: int) -> Tensor:
        """What a candidate of a block without right answers must exceed to come before the match."""
        # All candidates are on one side of the match: equal scores count if they come before it.
        return torch.where(self.match[queries] < first, self.match_score[queries], self.just_below[queries])

    def count(self, tile: Tensor, same: Tensor, queries: slice, first: int) -> None:
        """Count the wrong answers of a block with right answers that come before the best right one."""
        tile, score = tile.masked_fill(same, -torch.inf), self.match_score[queries, None]
        index = torch.arange(first, first + tile.shape[1], device=tile.device)
        before = (tile > score) | ((tile == score) & (index < self.match[queries, None]))
        self.rank[queries] += before.sum(1)
        self.see_wrong(tile, queries, first)

    def see_wrong(self, tile: Tensor, queries: slice, first: int) -> None:
        """Note the best wrong answers of a block in which right answers are masked."""
        if self.want_wrong:
            _keep_best(tile, self.wrong_score, self.wrong, queries, first)

    def result(self) -> Direction:
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


def _keep_best(tile: Tensor, best: Tensor, index: Tensor, queries: slice, first: int) -> None:
    """Update the best score and its index; among equals the first candidate stays."""
    value, position = tile.max(dim=1)
    better = value > best[queries]
    best[queries] = torch.where(better, value, best[queries])
    index[queries] = torch.where(better, position + first, index[queries])


def _slices(total: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, total)) for start in range(0, total, step))


def _may_match(rows: slice, columns: slice, groups: tuple[Tensor, Tensor] | None) -> bool:
    """Whether a part of the matrix holds a right answer."""
    if groups is None:
        return rows.start < columns.stop and columns.start < rows.stop
    return bool(torch.isin(groups[0][rows], groups[1][columns]).any())


def _same(rows: slice, columns: slice, groups: tuple[Tensor, Tensor] | None, device: torch.device) -> Tensor:
    """Which entries of a part of the matrix are right answers."""
    if groups is None:
        row = torch.arange(rows.start, rows.stop, device=device)
        return row[:, None] == torch.arange(columns.start, columns.stop, device=device)
    return groups[0][rows, None] == groups[1][columns]


def _blocks(
    values: Tensor, rows: slice, columns: slice, groups: tuple[Tensor, Tensor] | None
) -> Iterator[tuple[Tensor, slice, slice, Tensor | None]]:
    """Quarter a tile until right answers sit in small blocks: the slower way of counting then sees few entries."""
    if not _may_match(rows, columns, groups):
        yield values, rows, columns, None
    elif max(values.shape) <= BLOCK:
        yield values, rows, columns, _same(rows, columns, groups, values.device)
    else:
        for row in _halves(rows):
            for column in _halves(columns):
                r = slice(row.start - rows.start, row.stop - rows.start)
                c = slice(column.start - columns.start, column.stop - columns.start)
                yield from _blocks(values[r, c], row, column, groups)


def _halves(part: slice) -> list[slice]:
    if part.stop - part.start <= BLOCK:
        return [part]
    middle = (part.start + part.stop) // 2
    return [slice(part.start, middle), slice(middle, part.stop)]


def _check_finite(values: Tensor, rows: slice, columns: slice) -> None:
    bad = ~values.isfinite()
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise RetrievalError(
            f"The similarity of image {rows.start + row} and spoken caption {columns.start + column} is "
            f"{values[row, column].item()}, expected a finite number. Look for NaNs in the features of these two items."
        )


def _find_matches(
    by_row: _Side, by_column: _Side, values: Tensor, rows: slice, columns: slice, groups: tuple[Tensor, Tensor] | None
) -> None:
    """Note the best right answers of a tile in both directions."""
    if groups is None:
        both = slice(max(rows.start, columns.start), min(rows.stop, columns.stop))
        index = torch.arange(both.start, both.stop, device=values.device)
        scores = values[index - rows.start, index - columns.start]
        for side in (by_row, by_column):
            side.match[both], side.match_score[both], side.matches[both] = index, scores, 1
        return
    for part, r, c, same in _blocks(values, rows, columns, groups):
        if same is not None:
            _check_finite(part, r, c)
            by_row.find(part, same, r, c.start)
            by_column.find(part.T, same.T, c, r.start)


def _count_block(
    by_row: _Side, by_column: _Side, values: Tensor, rows: slice, columns: slice, same: Tensor | None
) -> None:
    """Add a block of the matrix to the ranks of both directions."""
    if same is not None:
        _check_finite(values, rows, columns)
        by_row.count(values, same, rows, columns.start)
        by_column.count(values.T, same.T, columns, rows.start)
        return
    above = count_above(values, by_row.bound(rows, columns.start), by_column.bound(columns, rows.start))
    if not above[2]:
        _check_finite(values, rows, columns)
    by_row.rank[rows] += above[0]
    by_column.rank[columns] += above[1]
    by_row.see_wrong(values, rows, columns.start)
    by_column.see_wrong(values.T, columns, rows.start)


def rank_tiles(
    tile: Tile,
    shape: tuple[int, int],
    step: tuple[int, int],
    groups: tuple[Tensor, Tensor] | None = None,
    wrong: bool = True,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Direction, Direction]:
    """Return the ranks of both directions of a similarity matrix given tile by tile.

    Tiles with right answers are asked for twice, the others once.

    Args:
        tile: gives the similarities of a run of rows with a run of columns.
        shape: rows and columns of the whole matrix.
        step: rows and columns of a tile.
        groups: integer labels of rows and columns; equal labels are right answers. None: row i belongs to column i.
        wrong: whether the best wrong answers are wanted as well.
        device: where the tiles are.
        dtype: floating type of the tiles, float32 or float64.

    Returns:
        Ranks of columns for each row, and of rows for each column.

    Raises:
        RetrievalError: if a score is not finite or a query has no right answer.
    """
    device = torch.device(device)
    if groups is not None:
        groups = (groups[0].to(device), groups[1].to(device))
    by_row = _Side(shape[0], shape[1], wrong, device, dtype)
    by_column = _Side(shape[1], shape[0], wrong, device, dtype)
    tiles = [(r, c) for r in _slices(shape[0], step[0]) for c in _slices(shape[1], step[1])]
    for rows, columns in tiles:
        if _may_match(rows, columns, groups):
            _find_matches(by_row, by_column, tile(rows, columns), rows, columns, groups)
    for side, name in ((by_row, "image"), (by_column, "spoken caption")):
        if not side.found():
            lonely = (side.matches == 0).nonzero().flatten().tolist()
            raise RetrievalError(
                f"{len(lonely)} queries have no right answer, the first is {name} {lonely[0]}. "
                "Every label must occur among the images and among the spoken captions."
            )
    for rows, columns in tiles:
        for part, r, c, same in _blocks(tile(rows, columns), rows, columns, groups):
            _count_block(by_row, by_column, part, r, c, same)
    return by_row.result(), by_column.result()
