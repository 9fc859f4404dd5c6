"""Numbers of the images that rows of a dataset show: equal where the image files have the same bytes.

A path says less: the captions of one image may name it in several ways, copies of an image have names of their own, and
the rows of an HDF5 file have no path at all.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np


class ImageIds:
    """Numbers of rows' images, whose bytes (``content``) are read when first asked for; a number is kept."""

    def __init__(self, rows: int, content: Callable[[int], bytes]) -> None:
        self._content = content
        self._ids = np.zeros(rows, np.int64)  # 0: not read yet

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, rows: Sequence[int]) -> np.ndarray:
        """Return the numbers of some rows' images, (n,) int64, equal where the images are the same."""
        for row in rows:
            if self._ids[row] == 0:
                self._ids[row] = _number(self._content(row))
        return self._ids[list(rows)]


def _number(content: bytes) -> int:
    """Return the first 63 bits of the content's digest, and a last one that makes it differ from 0."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True) | 1
