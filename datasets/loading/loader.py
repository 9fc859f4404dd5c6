"""Batches for training and evaluation: resumable, sharded over ranks, the same whatever the number of workers.

The order is a function of (seed, epoch), the random crops and masks of a sample of (seed, epoch, row). A global batch
is cut contiguously over the ranks, so W processes together see what one process sees.
Shape letters: B batch, T frames, N samples.
"""

import atexit
import functools
import logging
import os
import re
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common.errors import UserError
from common.parallel import cores, end_with_parent
from common.signals import handle
from datasets.loading.batch_sizes import check_sizes, small_set
from datasets.loading.collate import Batch, Collate, Items, Rows, mix
from datasets.loading.rows import SampleError, TrainingRows

log = logging.getLogger(__name__)
BUCKET_POOL = 2  # batches sorted together; in large pools captions never meet impostors of another length
Key = tuple[int, int, Rows]  # epoch, slot, rows of the global batch
WORKER_ENDED = re.compile(r"DataLoader worker .*(exited unexpectedly|killed by signal)|Too many open files|ancdata")
_NO_MEMORY = (
    "a loading process could not hand its batch on ({}): memory, the shared memory of /dev/shm or the number of open "
    "files is used up; set data.workers=0, give fewer workers or a smaller data.prefetch, or enlarge it (docker run "
    "--shm-size=8g; ulimit -n 65536)"
)
GRACE_SECONDS = 30  # a worker outlives a SIGTERM to the whole group so long: the main process saves its checkpoint


class Loader:
    """Batches of a dataset, for one rank.

    With ``on_error`` "skip", training replaces a bad row by another, the same for any number of ranks and never one
    that is in the global batch already; so no batch is smaller than the losses and the other ranks expect, and none
    holds a pair as its own negative. Evaluation drops the row. Raises ValueError for sizes that do not fit together,
    UserError for an empty dataset.
    """

    def __init__(
        self,
        dataset: TrainingRows,
        batch_size: int,  # of the global batch, all ranks together
        seed: int,  # of order and augmentation
        train: bool,  # shuffle, and drop the last, incomplete batch unless it is the only one
        workers: int = 0,  # loading processes of this rank; 0 loads in the calling process
        rank: int = 0,
        world: int = 1,  # number of processes
        target_length: int | None = None,  # frames to pad every spectrogram to with 0 dB; None: the batch's longest
        pad_multiple: int = 64,  # with None, lengths are a multiple of this many frames, so that shapes repeat
        bucket: bool = False,  # put captions of like length into the same batch (training only)
        prefetch: int = 2,  # batches that each worker loads ahead
        pin_memory: bool | Literal["auto"] = "auto",  # page-locked memory, quicker for GPUs; "auto": where there is one
    ) -> None:
        check_sizes(dataset, batch_size, train, rank, world, target_length, pad_multiple)
        self.dataset = dataset
        self.batch_size, self.seed, self.train = batch_size, seed, train
        self.rank, self.world = rank, world
        self.bucket = bucket and train
        self.on_skip: Callable[[int, str], None] = lambda _row, _reason: None
        self._lengths: np.ndarray | None = None
        self._plan: list[list[Key]] = []
        items = Items(dataset, seed, refill=train and dataset.on_error == "skip")
        several = {"prefetch_factor": prefetch, "persistent_workers": True} if workers else {}
        _note_many_workers(workers)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*worker processes in total")  # said above in our words
            self._loader = DataLoader(
                items,
                batch_sampler=_Plan(self._plan),
                collate_fn=Collate(target_length, pad_multiple),
                num_workers=workers,
                worker_init_fn=_start_worker,
                generator=torch.Generator(),  # its own: an epoch's start must not move the run's random state
                pin_memory=torch.cuda.is_available() if pin_memory == "auto" else pin_memory,
                **several,
            )
        if workers:
            atexit.register(_end_workers, weakref.ref(self._loader))

    @property
    def skipped(self) -> dict[int, str]:
        """Rows that could not be used so far on this rank, and why."""
        return self.dataset.skipped

    @property
    def steps_per_epoch(self) -> int:
        """Global batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.train and full else full + bool(rest)

    @property
    def samples_per_step(self) -> int:
        """Samples in a full global batch of training: fewer than ``batch_size`` where the whole set has fewer."""
        count = len(self.dataset)
        return min(self.batch_size, count - count % self.world)

    def note_small_set(self) -> None:
        """Warn, on rank 0, where the training set does not fill one batch."""
        message = small_set(self.dataset, self.batch_size, self.samples_per_step, self.world)
        if message and self.rank == 0:
            log.warning(message)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield this rank's batches of an epoch (0-based, decides order and augmentation) from batch ``start`` on.

        They hold ``image`` (b, 3, H, W); ``nframes`` (b,); ``mel`` (b, 40, T), or ``waveform`` (b, N), ``nsamples``
        (b,) and ``start`` (b,); ``index`` (b,) rows of the dataset; ``latent`` (b,) where the dataset has it; of other
        datasets what their samples hold. In evaluation a rank without rows in the last global batch yields one batch
        less than others.

        Raises:
            SampleError: A sample cannot be used and the dataset's ``on_error`` is "error".
            UserError: In training, a row cannot be used, and none that could be is left to replace it; or a loading
                process ended, mostly for want of memory.
        """
        shares = (self._share(rows) for rows in self.order(epoch)[start:])
        self._plan[:] = [[(epoch, slot, rows) for slot in slots] for rows, slots in shares if slots]
        for batch in self._loaded():
            if "no_memory" in batch:
                raise UserError(_NO_MEMORY.format(batch["no_memory"]))
            failures, lost = batch.pop("failures"), batch.pop("lost")
            for failure in failures:
                self.note(failure)
            if self.train and lost:
                raise UserError(
                    f"no row could be used instead of {lost} of a batch, expected one that can be decoded and is "
                    "not in the batch already; mend the files or give a smaller data.batch_size, the last: "
                    f"{failures[-1]}"
                )
            if "index" in batch:
                yield batch

    def _loaded(self) -> Iterator[Batch]:
        """Yield what the loading processes give; the end of one is an error with a remedy."""
        try:
            yield from self._loader
        except RuntimeError as error:
            if WORKER_ENDED.search(str(error)) is None:
                raise
            raise UserError(_NO_MEMORY.format(str(error).splitlines()[0])) from error

    def order(self, epoch: int) -> list[list[int]]:
        """Return the rows of every global batch of an epoch."""
        count, size = len(self.dataset), self.batch_size
        if not self.train:
            return [list(range(first, min(first + size, count))) for first in range(0, count, size)]
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        rows = torch.randperm(count, generator=generator)
        if self.bucket:
            rows = self._bucketed(rows)
        batches = [rows[i * size : (i + 1) * size].tolist() for i in range(self.steps_per_epoch)]
        if self.bucket:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator)]
        return batches

    def _bucketed(self, rows: Tensor) -> Tensor:
        """Sort shuffled rows by length within pools of some batches."""
        if self._lengths is None:
            self._lengths = self.dataset.lengths()
        lengths = torch.from_numpy(self._lengths)
        pools = rows.split(self.batch_size * BUCKET_POOL)
        return torch.cat([pool[lengths[pool].argsort(stable=True)] for pool in pools])

    def _share(self, rows: list[int]) -> tuple[Rows, range]:
        """Return a global batch, and the slots in it that are this rank's: a contiguous part."""
        if self.train and len(rows) % self.world:  # only a training set smaller than one batch
            rows = rows[: len(rows) - len(rows) % self.world]
        first, end = (rank * len(rows) // self.world for rank in (self.rank, self.rank + 1))
        return tuple(rows), range(first, end)

    def note(self, failure: SampleError) -> None:
        """List an unusable sample, or raise it where the dataset's ``on_error`` is "error"."""
        if self.dataset.on_error == "error":
            raise failure.advised()
        if failure.index not in self.dataset.skipped:
            self.dataset.skipped[failure.index] = str(failure)
            log.warning("skipped %s (%d so far)", failure, len(self.dataset.skipped))
            self.on_skip(failure.index, str(failure))


@functools.cache
def _note_many_workers(workers: int) -> None:
    """Log once that there are more loading processes than cores; it works, but is rarely quicker."""
    if workers > cores():
        log.warning("workers is %d for %d cores; as many as there are cores load as quickly", workers, cores())


def _start_worker(_worker: int) -> None:
    """Use one thread; leave Ctrl-C to the main process, and time to save before other signals end this one."""
    torch.set_num_threads(1)
    handle(lambda _number, _frame: signal.alarm(GRACE_SECONDS))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Queue._on_queue_feeder_error = staticmethod(_end_without_words)  # a hook, which concurrent.futures sets too
    sys.excepthook = _end_without_words  # of the thread that hands file descriptors on
    end_with_parent()


def _end_without_words(*_error: object) -> None:
    """End this worker where a thread could not hand a batch on: the main process would wait for it for ever."""
    os._exit(1)


def _end_workers(loader: "weakref.ref[DataLoader]") -> None:
    """Let the workers of a loader that is still there end by themselves, before Python waits for them."""
    found = loader()
    if found is not None:
        found._iterator = None


class _Plan:
    """The batch sampler: whatever the loader last planned."""

    def __init__(self, plan: list[list[Key]]) -> None:
        self.plan = plan

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(list(self.plan))

    def __len__(self) -> int:
        return len(self.plan)
