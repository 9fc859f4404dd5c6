"""Samples taken from a dataset one by one, and stacked into batches: the work of a loader's processes.

Shape letters: B batch, T frames, N samples.
"""

from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, get_worker_info

from datasets.audio.log_mel import HOP, PAD_DB, count_frames
from datasets.loading.rows import SampleError, TrainingRows

Batch = dict[str, Any]
Rows = tuple[int, ...]
REFILL_TRIES = 100


def mix(*numbers: int) -> int:
    """Return one well-mixed 63-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


class Items(Dataset):
    """Samples by (epoch, slot, rows of the global batch), each with its own random state.

    Failures are returned, so that they cross processes. With ``refill`` another row replaces one that cannot be used,
    and no row is twice in a global batch: which one it is follows from seed, epoch, slot and what can be used alone, so
    every rank finds the same without asking the others.
    """

    def __init__(self, dataset: TrainingRows, seed: int, refill: bool) -> None:
        self.dataset, self.seed, self.refill = dataset, seed, refill
        self._usable: dict[int, bool] = {}

    def __getitem__(self, key: tuple[int, int, Rows]) -> tuple[Batch | None, list[SampleError]]:
        """Return the sample, or None, and the failures."""
        epoch, slot, rows = key
        failures: list[SampleError] = []
        before = torch.default_generator.get_state()
        try:
            sample = self._load(epoch, rows[slot], failures)
            if sample is None and self.refill:
                sample = self._stand_in(epoch, slot, rows, failures)
        finally:
            torch.default_generator.set_state(before)
        return sample, failures

    def _load(self, epoch: int, row: int, failures: list[SampleError]) -> Batch | None:
        """Read a row with the random state that it has in this epoch; None after noting what is wrong with it."""
        torch.default_generator.manual_seed(mix(self.seed, epoch, row))
        try:
            sample = self.dataset[row]
        except SampleError as failure:
            failures.append(failure)
            self._usable[row] = False
            return None
        self._usable[row] = True
        return sample

    def _stand_in(self, epoch: int, slot: int, rows: Rows, failures: list[SampleError]) -> Batch | None:
        """Return the sample for a slot whose own cannot be used; None where there is none among those not in the batch.

        Those are dealt to the slots in turn, so that most slots find theirs without knowing of the others; only where
        all that were dealt are bad too does it count what the other slots leave.
        """
        others = self._others(epoch, rows)
        latest: tuple[int, Batch | None] = (-1, None)  # the row loaded last: mostly the chosen one

        def usable(row: int) -> bool:
            nonlocal latest
            if row not in self._usable:
                latest = row, self._load(epoch, row, failures)
            return self._usable[row]

        def own(slot: int) -> int | None:
            candidates = (rows[slot], *others[slot :: len(rows)][:REFILL_TRIES].tolist())
            return next((row for row in candidates if usable(row)), None)

        found = own(slot)
        if found is None and len(others) < REFILL_TRIES * len(rows):
            settled = [own(other) for other in range(len(rows))]
            free = (row for row in others.tolist() if row not in settled and usable(row))
            found = next(islice(free, settled[:slot].count(None), None), None)
        if found is None:
            return None
        return latest[1] if latest[0] == found else self._load(epoch, found, failures)

    def _others(self, epoch: int, rows: Rows) -> Tensor:
        """Return the rows that are not in a global batch, in an order of its own."""
        generator = torch.Generator().manual_seed(mix(self.seed, epoch, rows[0], 1))
        order = torch.randperm(len(self.dataset), generator=generator)
        return order[~torch.isin(order, torch.tensor(rows))]


class Collate:
    """Stacks samples and pads what has a length.

    Every ``mel`` (B, 40, T) has ``target_length`` frames; with None as many as the longest of the batch, rounded up to
    a multiple of ``pad_multiple``, as those of ``waveform`` (B, N) always are.
    """

    def __init__(self, target_length: int | None, pad_multiple: int) -> None:
        self.target_length, self.pad_multiple = target_length, pad_multiple

    def __call__(self, items: list[tuple[Batch | None, list[SampleError]]]) -> Batch:
        """Return one batch with ``failures`` and the number of samples ``lost``; nothing else if none could be used.

        If a loading process had no shared memory for it, ``no_memory`` says so instead.
        """
        samples = [sample for sample, _ in items if sample is not None]
        batch: Batch = {name: self._stacked(name, [s[name] for s in samples]) for name in (samples or [{}])[0]}
        failures = [failure for _, found in items for failure in found]
        return _handed_on(batch) | {"failures": failures, "lost": len(items) - len(samples)}

    def _stacked(self, name: str, values: list[Any]) -> Tensor:
        """Stack one entry of the batch, with a leading B."""
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


def _handed_on(batch: Batch) -> Batch:
    """Move a loading process's batch to shared memory; return ``no_memory`` with a reason where there is no room.

    Torch would move it there too, but in a thread whose errors reach nobody: the main process would wait for ever.
    """
    if get_worker_info() is None:
        return batch
    try:
        for value in batch.values():
            value.share_memory_()
    except RuntimeError as error:
        return {"no_memory": str(error).splitlines()[0]}
    return batch


def _rounded_up(length: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-length // multiple) * multiple
