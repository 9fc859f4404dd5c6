"""Ranks: the process group, messages between ranks, differentiable gathers.

Works the same in one process (every function is then the identity), under torchrun, and with gloo on CPU.
engine/replicas.py keeps the copies of a model alike.
"""

import itertools
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# Its functions keep the group that there is when it is imported, as torch's compiler does in the first step: imported
# later it would keep the group alive, whose threads then abort the process in the end of the interpreter.
import torch.distributed.nn.functional  # noqa: F401
from torch import Tensor

from common.rank_meeting import MEETING_TIMEOUT, RankError, meet
from common.text_files import is_whole_number

TIMEOUT = timedelta(minutes=30)  # of what ranks that have met do together
COUNTS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT", "MASTER_PORT")
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
MOST_PORT = 2**16 - 1
RESTARTS = "TORCHELASTIC_RESTART_COUNT"
POLL_SECONDS = 0.1
_turns = itertools.count()


def rank() -> int:
    """Return this process's rank, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this process writes files and prints."""
    return rank() == 0


def launched_by_torchrun() -> bool:
    """Return whether the environment describes a rank of a torchrun job."""
    return {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys()


def check_environment() -> None:
    """Raise a RankError where variables of torchrun are no numbers or not all there, as a shell may leave them."""
    for name in COUNTS:
        text = os.environ.get(name, "0")
        if not is_whole_number(text):
            raise RankError(
                f"the environment variable {name} is {text!r}, expected a whole number; unset it or correct it"
            )
    port = int(os.environ.get("MASTER_PORT", 0))
    if port > MOST_PORT:
        raise RankError(f"the environment variable MASTER_PORT is {port}, expected a port of at most {MOST_PORT}")
    if not launched_by_torchrun():
        return
    if os.environ.get("MASTER_PORT") and port == 0:
        raise RankError("the environment variable MASTER_PORT is 0, expected a port from 1 that all ranks know")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank >= world:
        raise RankError(
            f"the environment has RANK={rank} and WORLD_SIZE={world}, expected ranks below it; use torchrun"
        )
    missing = [name for name in ADDRESS if not os.environ.get(name)]
    if missing:
        raise RankError(
            f"the environment has RANK and WORLD_SIZE but no {' and no '.join(missing)}, so the ranks cannot meet; "
            "start the program with torchrun, or unset RANK, WORLD_SIZE and LOCAL_RANK"
        )


def pick_device() -> torch.device:
    """Return this rank's device: its own visible GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    return torch.device("cpu")


def start(device: torch.device) -> None:
    """Join the process group that torchrun describes; do nothing when alone. GPUs use nccl unless ranks share one.

    Afterwards ``TORCHELASTIC_RESTART_COUNT`` is positive on every rank when any node has started its ranks again:
    torchrun says that only to the node whose rank failed.
    """
    if not launched_by_torchrun() or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    shared_gpu = device.type == "cuda" and int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > torch.cuda.device_count()
    backend = "gloo" if device.type == "cpu" or shared_gpu else "nccl"
    store, own_rank, world, attempt = meet(MEETING_TIMEOUT)
    store.set_timeout(TIMEOUT)
    dist.init_process_group(backend, store=store, rank=own_rank, world_size=world, timeout=TIMEOUT)
    if any_rank(attempt > 1 or int(os.environ.get(RESTARTS, 0)) > 0):
        os.environ[RESTARTS] = str(max(attempt - 1, 1))


def stop() -> None:
    """Leave the process group, if any."""
    if dist.is_initialized():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait for every rank."""
    if world_size() > 1:
        dist.barrier()


def main_first(work: Callable[[], Any]) -> None:
    """Let rank 0 do ``work`` while the others wait, however long it takes (call on every rank).

    A barrier gives up after :data:`TIMEOUT`, which building a large world exceeds. When rank 0 fails, torchrun ends the
    ranks that wait.
    """
    if world_size() == 1:
        work()
        return
    store, key = dist.distributed_c10d._get_default_store(), f"drawl/main_first/{next(_turns)}"
    if is_main():
        work()
        store.set(key, "done")
    while not store.check([key]):
        time.sleep(POLL_SECONDS)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        ctx.rows = rows.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        first = rank() * ctx.rows
        return total[first : first + ctx.rows]


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows (b, ...) of all ranks, of one shape, to (b * world_size, ...) in rank order, differentiably.

    The backward pass sums the gradient over ranks. When every rank computes the same global loss from the gathered
    rows, a parameter's gradient on each rank is ``world_size`` times its local share; averaging over ranks
    (:func:`engine.replicas.average_gradients`) then gives exactly the gradient of one process with the global batch.
    """
    if world_size() == 1:
        return rows
    return _GatherRows.apply(rows)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def sum_over_ranks(value: Tensor) -> Tensor:
    """Sum a tensor of any shape over ranks; its gradient is summed over ranks too (as in :func:`gather_rows`)."""
    if world_size() == 1:
        return value
    return _SumOverRanks.apply(value)


def gather_padded(rows: Tensor, dim: int = -1, value: float = 0.0) -> Tensor:
    """Gather rows (b, ...) whose size along ``dim`` (not the first) differs between ranks, differentiably.

    They are padded on the right with ``value`` to the size of the rank with most: (b * world_size, ...) in rank order.
    """
    if world_size() == 1:
        return rows
    size = torch.tensor(rows.shape[dim], device=rows.device)
    dist.all_reduce(size, op=dist.ReduceOp.MAX)
    missing = int(size) - rows.shape[dim]
    if missing:
        shape = list(rows.shape)
        shape[dim] = missing
        rows = torch.cat([rows, rows.new_full(shape, value)], dim=dim)
    return gather_rows(rows)


def gather_uneven(rows: Tensor) -> Tensor:
    """Concatenate any number of rows (n_r, ...) from every rank, without gradient (for evaluation shards).

    ``n_r`` may be 0 and may differ between ranks, trailing shapes agree; (sum of n_r, ...) in rank order on every rank.
    """
    if world_size() == 1:
        return rows
    counts = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    counts[rank()] = rows.shape[0]
    dist.all_reduce(counts)
    most = int(counts.max())
    padded = rows.new_zeros((most, *rows.shape[1:]))
    padded[: rows.shape[0]] = rows
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


def gather_objects(value: Any) -> list[Any]:
    """Return every rank's value, in rank order, on every rank (own processes only: the transport is pickle)."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def any_rank(flag: bool) -> bool:
    """Return whether the flag is set on at least one rank; the same on every rank."""
    if world_size() == 1:
        return flag
    device = pick_device() if dist.get_backend() == "nccl" else torch.device("cpu")
    shared = torch.tensor(int(flag), device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return bool(shared)
