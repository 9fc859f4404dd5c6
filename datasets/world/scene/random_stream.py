"""Random numbers that are the same on every machine and with every version of NumPy.

They come from the raw 64-bit words of PCG64, whose stream NumPy guarantees, unlike that of `Generator`'s methods.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


class Draws:
    """A stream of random numbers, from one or several non-negative seeds."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(list(seed))

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def below(self, limit: int) -> int:
        """Return a whole number in [0, limit)."""
        return int(self.uniform(0.0, float(limit)))

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items, at least one."""
        return items[self.below(len(items))]

    def chance(self, probability: float) -> bool:
        """Return True with this probability, 0 to 1."""
        return self.uniform(0.0, 1.0) < probability

    def shuffled(self, items: Iterable[Item]) -> list[Item]:
        """Return the items in random order, and leave them as they are."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(len(rest))]
