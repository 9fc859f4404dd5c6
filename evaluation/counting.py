"""Count, for every row and column of a matrix at once, the entries above a bound: the inner loop of ranking.

On a CPU the matrix is read once, block by block: a block stays in the cache while it is compared with both bounds. The
comparison writes one byte per entry, and eight bytes are added at a time as one 64-bit word; blocks are small enough
for no byte to pass 255.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

BAND = 250  # rows of a block: at most 255 bytes are added down a column
WIDTH = 2000  # columns of a block: at most 255 words of eight bytes are added along a row
SEVERAL = 1 << 21  # entries above which threads pay

Counts = tuple[np.ndarray, np.ndarray, bool]


def _count_band(tile: np.ndarray, row_bound: np.ndarray, column_bound: np.ndarray) -> Counts:
    """Counts of a band of at most BAND rows, and whether its sum is finite."""
    height, total = len(tile), np.float64(0)
    by_row, by_column = np.zeros(height, np.int64), np.zeros(tile.shape[1], np.int64)
    mask = np.zeros((height, WIDTH), dtype=bool)
    for start in range(0, tile.shape[1], WIDTH):
        block = tile[:, start : start + WIDTH]
        width = block.shape[1]
        words = mask[:, : -(-width // 8) * 8]
        words[:, width:] = False
        total += block.sum(axis=0).sum(dtype=np.float64)  # several times faster than over both axes at once
        np.greater(block, row_bound[:, None], out=mask[:, :width])
        sums = np.add.reduce(words.view(np.uint64), axis=1)
        by_row += sums.view(np.uint8).reshape(height, 8).sum(1, dtype=np.int64)
        np.greater(block, column_bound[start : start + WIDTH], out=mask[:, :width])
        sums = np.add.reduce(words.view(np.uint64), axis=0)
        by_column[start : start + width] += sums.view(np.uint8)[:width]
    return by_row, by_column, bool(np.isfinite(total))


def _count_cpu(tile: np.ndarray, row_bound: np.ndarray, column_bound: np.ndarray) -> Counts:
    bands = [slice(start, start + BAND) for start in range(0, len(tile), BAND)]
    by_row, by_column, finite = np.zeros(len(tile), np.int64), np.zeros(tile.shape[1], np.int64), True

    def count(band: slice) -> Counts:
        with np.errstate(over="ignore", invalid="ignore"):
            return _count_band(tile[band], row_bound[band], column_bound)

    threads = torch.get_num_threads() if tile.size > SEVERAL else 1
    if threads == 1:
        results = map(count, bands)
    else:
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(count, bands)
    for band, (rows, columns, good) in zip(bands, results, strict=True):
        by_row[band] = rows
        by_column += columns
        finite &= good
    return by_row, by_column, finite


def count_above(tile: Tensor, row_bound: Tensor, column_bound: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Count the entries above a bound in every row and in every column.

    Args:
        tile: matrix (h, w) float32 or float64.
        row_bound: bound of each row (h,).
        column_bound: bound of each column (w,).

    Returns:
        Entries of each row strictly above its bound (h,) int64, those of each column (w,) int64, and False if the
        matrix may hold NaN or infinity (its sum is not finite).
    """
    if tile.device.type == "cpu":
        by_row, by_column, finite = _count_cpu(tile.numpy(), row_bound.numpy(), column_bound.numpy())
        return torch.from_numpy(by_row), torch.from_numpy(by_column), finite
    # A float result is summed faster than a bool one, in double so that any count is exact.
    by_row = (tile > row_bound[:, None]).to(tile.dtype).sum(1, dtype=torch.float64)
    by_column = (tile > column_bound).to(tile.dtype).sum(0, dtype=torch.float64)
    return by_row.long(), by_column.long(), bool(tile.sum().isfinite())
