"""Mean of the best matches: the one expensive step of MISA and SIMA, in bounded memory and at the speed of matmul.

Rows (R, D) belong to A items, one after the other; the pool is (G, P, D). For item a and group g the result is the mean
over the rows of a of max over p of <row, pool[g, p]>. The products are made tile by tile into one buffer that is used
again, and only the position of each maximum is kept for the backward pass, where every row takes part with one position
per group: a weighted sum of P times fewer rows than the dense product of automatic differentiation.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CPU_TILE = 1 << 23  # products a tile holds on a CPU: 32 MB, about the last-level cache
ROW_TILE = 2048  # rows of a tile: matmul is at full speed, and the tile still has room for many groups


class _Plan:
    """The tiles: runs of whole items (rows r0 to r1 of items a0 to a1) and runs of groups, all of bounded size."""

    def __init__(self, lengths: Tensor, pool: Tensor, budget_mb: float, dtype: torch.dtype) -> None:
        counts = lengths.tolist()
        groups, positions, _ = pool.shape
        # Per row and group: P products, the maximum, its index, and the sort of the backward pass.
        pair_bytes = positions * dtype.itemsize + 64
        pairs = max(1, int(budget_mb * 2**20 / 2 / pair_bytes))
        if pool.device.type == "cpu":
            pairs = min(pairs, max(1, CPU_TILE // positions))
        rows = max(1, min(ROW_TILE, int(pairs**0.5 * 4), pairs))
        self.items = self._runs(counts, rows)
        self.longest = max(r1 - r0 for _, _, r0, r1 in self.items)
        step = max(1, min(groups, pairs // max(self.longest, 1)))
        self.groups = [(g, min(g + step, groups)) for g in range(0, groups, step)]
        self.size = self.longest * step * positions
        self.keep = sum(counts) * groups * 2 <= budget_mb * 2**20 / 2

    @staticmethod
    def _runs(counts: list[int], limit: int) -> list[tuple[int, int, int, int]]:
        runs, a0, r0, r1 = [], 0, 0, 0
        for a, count in enumerate(counts):
            if r1 - r0 + count > limit and a > a0:
                runs.append((a0, a, r0, r1))
                a0, r0 = a, r1
            r1 += count
        return [*runs, (a0, len(counts), r0, r1)]


class _MeanOfMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, pool: Tensor, lengths: Tensor, budget_mb: float, dtype: torch.dtype) -> Tensor:
        """Return (S, I): for each run of ``rows`` (N, D), ``lengths`` (S,) long, its mean best product with I pools.

        ``pool`` is (I, P, D); products are of ``dtype``, in pieces of ``budget_mb`` MB.
        """
        plan = _Plan(lengths, pool, budget_mb, dtype)
        low_rows, low_pool = rows.to(dtype), pool.to(dtype)
        result = rows.new_empty(len(lengths), len(pool), dtype=torch.promote_types(dtype, torch.float32))
        wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        keep = wanted and plan.keep and pool.shape[1] <= torch.iinfo(torch.int16).max
        where = rows.new_empty((len(rows), len(pool)) if keep else (0, 0), dtype=torch.int16)
        buffer = rows.new_empty(plan.size, dtype=dtype)
        with torch.autocast(rows.device.type, enabled=False):
            for a0, a1, r0, r1 in plan.items:
                for g0, g1 in plan.groups:
                    products = _products(low_rows[r0:r1], low_pool[g0:g1], buffer)
                    if keep:
                        best, index = products.max(dim=2)
                        where[r0:r1, g0:g1] = index
                    else:
                        best = products.amax(dim=2)
                    result[a0:a1, g0:g1] = torch.segment_reduce(
                        best.to(result.dtype), "mean", lengths=lengths[a0:a1], axis=0, unsafe=True
                    )
        ctx.save_for_backward(rows, pool, lengths, where)
        ctx.plan, ctx.keep, ctx.dtype = plan, keep, dtype
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of rows and pool, along the best products; ``grad`` is (S, I)."""
        rows, pool, lengths, where = ctx.saved_tensors
        plan, exact = ctx.plan, grad.dtype
        low_rows, low_pool = rows.to(ctx.dtype), pool.to(ctx.dtype)
        full_rows, full_pool = rows.to(exact), pool.to(exact)
        grad_rows, grad_pool = torch.zeros_like(full_rows), torch.zeros_like(full_pool)
        buffer = rows.new_empty(0 if ctx.keep else plan.size, dtype=ctx.dtype)
        share = grad / lengths[:, None]
        with torch.autocast(rows.device.type, enabled=False):
            for a0, a1, r0, r1 in plan.items:
                for g0, g1 in plan.groups:
                    if ctx.keep:
                        index = where[r0:r1, g0:g1].long()
                    else:
                        index = _products(low_rows[r0:r1], low_pool[g0:g1], buffer).argmax(dim=2)
                    weight = share[a0:a1, g0:g1].repeat_interleave(lengths[a0:a1], dim=0, output_size=r1 - r0)
                    _scatter(index, weight, full_rows[r0:r1], full_pool[g0:g1], grad_rows[r0:r1], grad_pool[g0:g1])
        return grad_rows.to(rows.dtype), grad_pool.to(pool.dtype), None, None, None


def _products(rows: Tensor, pool: Tensor, buffer: Tensor) -> Tensor:
    """Return all dot products of rows (r, D) and pool (g, P, D), as (r, g, P) in the buffer."""
    out = buffer[: len(rows) * pool.shape[0] * pool.shape[1]].view(len(rows), -1)
    torch.mm(rows, pool.flatten(0, 1).t(), out=out)
    return out.view(len(rows), *pool.shape[:2])


def _scatter(index: Tensor, weight: Tensor, rows: Tensor, pool: Tensor, grad_rows: Tensor, grad_pool: Tensor) -> None:
    """Add the gradients of sum(weight * <row, pool[g, index]>), index and weight (r, g); no atomics, so repeatable."""
    groups, positions, channels = pool.shape
    cell = index + torch.arange(groups, device=index.device) * positions
    grad_rows += F.embedding_bag(cell, pool.reshape(-1, channels), per_sample_weights=weight, mode="sum")
    cell, order = cell.flatten().sort(stable=True)
    starts = torch.searchsorted(cell, torch.arange(groups * positions, device=cell.device))
    weight = weight.flatten()[order]
    sums = F.embedding_bag(order // groups, rows, starts, per_sample_weights=weight, mode="sum")
    grad_pool += sums.view(groups, positions, channels)


def mean_of_max(rows: Tensor, lengths: Tensor, pool: Tensor, budget_mb: float, dtype: torch.dtype | None) -> Tensor:
    """Return, for each item and group (A, G), the mean over the item's rows of the best dot product in the group.

    Rows (R, D) stand item after item, ``lengths`` (A,) int64 says how many each has, at least 1; the pool is (G, P, D).
    Among equal products the first position gets the gradient. ``budget_mb`` is for intermediate values; the result and
    the gradients come on top. ``dtype`` is that of the products; means and gradients are float32 or better.
    """
    if len(lengths) == 0 or len(pool) == 0:
        return rows[:0].sum() + pool[:0].sum() + rows.new_zeros(len(lengths), len(pool))
    return _MeanOfMax.apply(rows, pool, lengths, budget_mb, dtype or torch.promote_types(rows.dtype, pool.dtype))
