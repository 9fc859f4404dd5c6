"""The inner loop of ranking: what a tile of a similarity matrix adds to the ranks of its rows and of its columns."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evaluation.retrieval.queries import Queries

LARGE = 1 << 22  # entries of a tile from which compiled code pays, which takes a second to load


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


def count_on_cpu(
    values: Tensor, rows: Queries, columns: Queries, origin: tuple[int, int], wrong: bool
) -> tuple[Found, Found, bool]:
    """Count on the CPU in compiled code, a share of the rows for each of torch's threads.

    Args:
        values: similarities (r, c), float32 or float64.
        rows: what is known of the rows, (r,) each.
        columns: what is known of the columns, (c,) each.
        origin: first row and first column of the tile in the whole matrix.
        wrong: whether the best wrong answers are wanted.

    Returns:
        What the tile adds to its rows and to its columns, and False if it holds NaN or infinity.
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
