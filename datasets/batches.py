"""Samples drawn from a dataset one by one, and stacked into batches: what the processes of a loader do.

Shape letters: B batch, T frames, N samples.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from datasets.features import HOP, PAD_DB, count_frames
from datasets.samples import SampleError, SpokenCaptions

Batch = dict[str, Any]
REFILL_TRIES = 100


def mix(*numbers: int) -> int:
    """One well-mixed 63-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


class Items(Dataset):
    """Samples by (epoch, row), each with its own random state; failures are returned, so that they cross processes."""

    def __init__(self, dataset: SpokenCaptions, seed: int, refill: bool) -> None:
        self.dataset, self.seed, self.refill = dataset, seed, refill

    def __getitem__(self, key: tuple[int, int]) -> tuple[Batch | None, list[SampleError]]:
        """The sample, or None, and what failed; ``refill`` takes the next usable row in place of a bad one."""
        epoch, row = key
        failures: list[SampleError] = []
        before = torch.default_generator.get_state()
        try:
            for step in range(min(REFILL_TRIES, len(self.dataset)) if self.refill else 1):
                tried = (row + step) % len(self.dataset)
                torch.default_generator.manual_seed(mix(self.seed, epoch, tried))
                try:
                    return self.dataset[tried], failures
                except SampleError as failure:
                    failures.append(failure)
        finally:
            torch.default_generator.set_state(before)
        return None, failures


class Collate:
    """Stacks samples and pads what has a length."""

    def __init__(self, target_length: int | None, pad_multiple: int) -> None:
        self.target_length, self.pad_multiple = target_length, pad_multiple

    def __call__(self, items: list[tuple[Batch | None, list[SampleError]]]) -> Batch:
        """One batch with ``failures`` and the number of samples ``lost``; nothing else when nothing could be used."""
        samples = [sample for sample, _ in items if sample is not None]
        batch: Batch = {name: self._stacked(name, [s[name] for s in samples]) for name in (samples or [{}])[0]}
        failures = [failure for _, found in items for failure in found]
        return batch | {"failures": failures, "lost": len(items) - len(samples)}

    def _stacked(self, name: str, values: list[Any]) -> Tensor:
        """One entry of the batch, with a leading B."""
        if name == "mel":
            longest = max(value.shape[1] for value in values)
            length = self.target_length or _rounded_up(longest, self.pad_multiple)
            batch = values[0].new_full((len(values), values[0].shape[0], length), PAD_DB)
            for row, value in zip(batch, values, strict=True):
                row[:, : value.shape[1]] = value
            return batch
        if name == "waveform":
            padded = pad_sequence(values, batch_first=True)
            frames = _rounded_up(count_frames(padded.shape[1]), self.pad_multiple)
            return F.pad(padded, (0, frames * HOP - 1 - padded.shape[1]))  # the most samples that make these frames
        return torch.stack(values) if isinstance(values[0], Tensor) else torch.tensor(values)


def _rounded_up(length: int, multiple: int) -> int:
    """The next multiple."""
    return -(-length // multiple) * multiple
