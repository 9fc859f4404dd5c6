"""What is read of a split of images with written captions, whatever the layout of its files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.text_image.vocabulary import Vocabulary


class Captions:
    """Captions as word numbers, in one block of memory."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._ends = np.cumsum([0, *map(len, rows)])
        self._numbers = np.fromiter((number for row in rows for number in row), np.int32, self._ends[-1])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the word numbers (n,) of one caption; negative indices are not offered."""
        if not 0 <= index < len(self):
            raise IndexError(f"caption {index} of {len(self)}")
        return self._numbers[self._ends[index] : self._ends[index + 1]]

    def lengths(self) -> np.ndarray:
        """Return the number of words of each caption, (n,)."""
        return np.diff(self._ends)

    def extremes(self) -> tuple[int, int] | None:
        """Return the lowest and the highest word number; None where there is no word."""
        return (int(self._numbers.min()), int(self._numbers.max())) if len(self._numbers) else None


class Texts:
    """Captions as written, in one block of memory."""

    def __init__(self, rows: Iterable[str]) -> None:
        rows = list(rows)
        self._ends = np.cumsum([0, *map(len, rows)])
        self._text = "".join(rows)

    def __getitem__(self, index: int) -> str:
        """Return one caption; negative indices are not offered."""
        if not 0 <= index < len(self._ends) - 1:
            raise IndexError(f"caption {index} of {len(self._ends) - 1}")
        return self._text[self._ends[index] : self._ends[index + 1]]


@dataclass(frozen=True)
class CaptionedSplit:
    """The names, captions, classes and boxes of one split."""

    source: Path  # file or folder that lists the images, for messages
    images: Path  # folder of the images
    names: list[str]  # of their files below it, short of ``ending``
    captions: Captions  # of all images, those of one after those of the one before
    firsts: np.ndarray  # (n + 1,) int64: image i has the captions firsts[i] to firsts[i + 1] - 1
    classes: np.ndarray  # (n,) int64
    vocabulary: Vocabulary
    ending: str = ""
    boxes: np.ndarray | None = None  # (n, 4) of the bird: left, top, width, height in pixels; None without
    class_names: list[str] | None = None  # None where classes have numbers only
    texts: Texts | None = None  # None where only the numbers of known words were published

    def path(self, index: int) -> Path:
        """Return the file of an image."""
        return self.images / f"{self.names[index]}{self.ending}"

    def numbers(self, index: int) -> range:
        """Return the numbers of an image's captions among all."""
        return range(int(self.firsts[index]), int(self.firsts[index + 1]))


def firsts_of(rows: Iterable[Sequence[object]]) -> np.ndarray:
    """Return where the captions of each image begin among all, and their number, (n + 1,) int64."""
    return np.cumsum([0, *map(len, rows)], dtype=np.int64)
