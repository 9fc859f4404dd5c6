"""The frames of many utterances in a file on disk, and the stretches of them that fastabx compares.

Only the stretches of a few cells at a time are in memory. fastabx reads features through its ``Accessor``
protocol (bootphon/fastabx, ``accessor.py``): the length of each item, and batches of items padded to the longest.

Shape letters: T frames of an utterance, C channels, n items of a batch, s frames of its longest item.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from common.disk_space import needs_room
from evaluation.abx.items import AbxError, Item

Distributions = Literal["shares", "softmax"]
HALF = Decimal("0.5")


class FrameFile:
    """Write the frames (T, C) float32 of utterances one after the other into the file ``path``, anew.

    ``name`` is the layer's, for messages. ``seconds`` (that each frame covers) and ``channels`` are 0 before the first
    utterance; ``negative`` sums what is below zero, without its sign, and ``total`` all magnitudes.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self.seconds, self.channels = Decimal(0), 0
        self.negative = self.total = 0.0
        self._positions: dict[str, tuple[int, int]] = {}
        self._frames = 0
        self._file: Any = path.open("wb")
        self._values: Tensor | None = None

    def add(self, utterance: str, features: np.ndarray, seconds: float) -> None:
        """Append the frames (T, C) float32 of an utterance, each of so many seconds.

        Raises AbxError where a value is not finite, or channels or frame length differ from the first utterance's.
        """
        exact = Decimal(str(round(seconds, 9)))
        if not self._positions:
            self.seconds, self.channels = exact, features.shape[1]
        if (exact, features.shape[1]) != (self.seconds, self.channels):
            raise AbxError(
                f"{utterance}: found frames of {exact} s with {features.shape[1]} values, expected {self.seconds} s "
                f"with {self.channels} as in the first utterance; give features of one layer of one model"
            )
        if not np.isfinite(features).all():
            raise AbxError(f"{self.name} of {utterance} is not finite, so it cannot be compared; look at the model")
        with needs_room(self.path.parent):
            self._file.write(np.ascontiguousarray(features, dtype=np.float32).tobytes())
        self._positions[utterance] = (self._frames, len(features))
        self._frames += len(features)
        self.negative += float(-features.clip(max=0).sum(dtype=np.float64))
        self.total += float(np.abs(features).sum(dtype=np.float64))

    @property
    def values(self) -> Tensor:
        """Return all frames (sum of T, C), read from disk where they are used; nothing can be added any more."""
        if self._values is None:
            with needs_room(self.path.parent):
                self._file.close()
            mapped = np.memmap(self.path, np.float32, "c", shape=(self._frames, self.channels))
            self._values = torch.from_numpy(mapped)
        return self._values

    def seconds_of(self, utterance: str) -> float:
        """Return how many seconds the frames of an ``utterance`` cover."""
        return self._positions[utterance][1] * float(self.seconds)

    def stretch(self, item: Item) -> tuple[int, int]:
        """Return the first frame of an item, and the one behind the last, in :attr:`values`.

        An item has the frames whose middle lies in it, as fastabx takes them: frame t of an utterance counts as
        ``[t, t + 1) * seconds``. An item that holds no frame's middle gets the one frame that its own middle lies in;
        ends are cut at the last frame.
        """
        first, length = self._positions[item.file]
        start = int((item.onset / self.seconds - HALF).to_integral_value(ROUND_CEILING))
        end = int((item.offset / self.seconds - HALF).to_integral_value(ROUND_FLOOR)) + 1
        if end <= start:
            start = int((item.onset + item.offset) / 2 / self.seconds)
            end = start + 1
        start = min(start, length - 1)
        return first + start, first + max(start + 1, min(end, length))

    def is_short(self, item: Item) -> bool:
        """Return whether ``item`` holds the middle of no frame."""
        middle = (item.onset / self.seconds - HALF).to_integral_value(ROUND_CEILING) + HALF
        return middle * self.seconds > item.offset


class Stretches:
    """Give fastabx the items, as its accessor.

    Only items in ``used``, the indices that any triplet holds, are looked up. ``transform`` makes of frames (m, C) what
    is compared, (m, C'); ``batch`` is fastabx's, of padded frames (n, s, C') and lengths (n,); ``is_normalized`` says
    whether ``transform`` gives what fastabx's angular distance wants.
    """

    def __init__(
        self,
        frames: FrameFile,
        items: Sequence[Item],
        used: Sequence[int],
        transform: Callable[[Tensor], Tensor],
        batch: Callable[[Tensor, Tensor], Any],
        is_normalized: bool,
    ) -> None:
        self.device = torch.device("cpu")
        self.is_normalized = is_normalized
        self._values, self._transform, self._batch = frames.values, transform, batch
        self._starts, self._lengths = np.zeros((2, len(items)), np.int64)
        for index in used:
            start, end = frames.stretch(items[index])
            self._starts[index], self._lengths[index] = start, end - start

    @property
    def longest(self) -> int:
        """Return the number of frames of the longest item."""
        return int(self._lengths.max())

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, i: int) -> Tensor:
        return self._transform(self._values[self._starts[i] : self._starts[i] + self._lengths[i]])

    def lengths(self, indices: Any) -> np.ndarray:
        """Return the frames of each of the items ``indices``, (n,) int64."""
        return self._lengths[indices]

    def normalize_(self) -> None:
        """Do nothing: what is compared is made when it is read."""

    def batched(self, indices: Any) -> Any:
        """Return frames (n, s, C') of items ``indices`` (n,), zero behind each one's end, and their lengths (n,)."""
        chosen = np.asarray(indices, np.int64)
        lengths = torch.from_numpy(self._lengths[chosen])
        steps = torch.arange(int(lengths.max()))
        valid = steps < lengths[:, None]
        positions = (torch.from_numpy(self._starts[chosen])[:, None] + steps)[valid]
        rows = self._transform(self._values.index_select(0, positions))
        padded = rows.new_zeros(*valid.shape, rows.shape[1])
        padded[valid] = rows
        return self._batch(padded, lengths.to(torch.int32))


def power(values: Tensor) -> Tensor:
    """Return the power of log-mels ``values`` in dB."""
    return torch.pow(10.0, values / 10)


def distributions(values: Tensor, kind: Distributions) -> Tensor:
    """Make distributions of frames (m, C), whose rows sum to 1, for the Kullback-Leibler divergence.

    ``shares`` takes each value's share of the frame's sum, negative ones counting as zero, and a frame of zeros as
    evenly shared; ``softmax`` takes that of the values as they are.
    """
    if kind == "softmax":
        return values.softmax(1)
    positive = values.clamp(min=0)
    sums = positive.sum(1, keepdim=True)
    even = torch.full_like(positive, 1 / values.shape[1])
    return torch.where(sums > 0, positive / sums.clamp(min=torch.finfo(values.dtype).tiny), even)
