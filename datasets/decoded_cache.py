"""Decoded values kept in memory up to a budget, so that a file is read once and not again in every epoch."""

from collections.abc import Callable
from typing import TypeVar

from PIL import Image
from torch import Tensor

Value = TypeVar("Value", Tensor, Image.Image)
MB = 10**6


class DecodedCache:
    """Log-mels and images by name. Once the budget is full, what is in it stays, and the rest is made each time.

    Nothing is ever taken out to make room: in a shuffled epoch every row is as likely to be asked for as any other. A
    budget of None has no end, one of 0 keeps nothing.
    """

    def __init__(self, megabytes: int | None) -> None:
        self.left = float("inf") if megabytes is None else megabytes * MB
        self._values: dict[tuple[str, int], Tensor | Image.Image] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, kind: str, row: int, make: Callable[[], Value]) -> Value:
        """Return a value of a row from memory, or make it and keep it while there is room; callers do not change it."""
        found = self._values.get((kind, row))
        if found is not None:
            return found
        value = make()
        size = value.nbytes if isinstance(value, Tensor) else 4 * value.width * value.height  # PIL: 4 bytes a pixel
        if size <= self.left:
            self.left -= size
            self._values[kind, row] = value
        return value
