"""The order in which rows are seen, pass after pass, as a function of the seed and the position alone."""

import numpy as np


class Passes:
    """Shuffle ``count`` rows anew for each pass over them; a resumed run and every rank agree on the order."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def row(self, position: int) -> int:
        """Return the row that comes after ``position`` others."""
        turn, slot = divmod(position, self.count)
        if turn != self._order[0]:
            self._order = turn, np.random.default_rng([self.seed, turn]).permutation(self.count)
        return int(self._order[1][slot])

    def rows(self, first: int, count: int) -> list[int]:
        """Return ``count`` rows from the position ``first`` on."""
        return [self.row(first + slot) for slot in range(count)]
