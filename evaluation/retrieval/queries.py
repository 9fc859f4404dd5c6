"""The queries of a retrieval, as counting needs them."""

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Queries(NamedTuple):
    """The rows or the columns of a tile; all (q,), tensors or arrays."""

    score: Tensor | np.ndarray  # similarity of the best right answer
    below: Tensor | np.ndarray  # the next smaller number
    match: Tensor | np.ndarray  # index of that answer, in the whole matrix
    label: Tensor | np.ndarray  # equal labels of a row and a column make a right answer

    def part(self, where: slice) -> "Queries":
        """Return a run of the queries."""
        return Queries(*(field[where] for field in self))

    def numpy(self) -> "Queries":
        """Return the same memory as arrays."""
        return Queries(*(field.numpy() for field in self))
