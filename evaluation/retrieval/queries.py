"""What counting must know of the queries of a retrieval."""

from typing import NamedTuple

import numpy as np
from torch import Tensor


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
        """A run of the queries.

        Args:
            where: rows of the queries.

        Returns:
            Those queries.
        """
        return Queries(*(field[where] for field in self))

    def numpy(self) -> "Queries":
        """The same memory as arrays."""
        return Queries(*(field.numpy() for field in self))
