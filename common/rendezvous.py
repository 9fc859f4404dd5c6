"""Where the ranks of one attempt meet, whatever an earlier attempt left behind.

torchrun's agent keeps one key-value store for the whole job and gives it to every attempt (pytorch/pytorch issue
135712). What the ranks of a failed attempt wrote is still there when they are started again, such as the addresses of
processes that are dead, and ``init_process_group`` would connect to these. torchrun's own count of restarts does not
tell attempts apart: each node counts its own failures only.
"""

import time
import uuid
from datetime import timedelta

import torch.distributed as dist

POLL_SECONDS = 0.02


def meet(timeout: timedelta) -> tuple[dist.Store, int, int, int]:
    """Meet the other ranks that torchrun's environment describes in a part of its store that nobody has used.

    Args:
        timeout: how long to wait for the other ranks.

    Returns:
        The store, this rank, the number of ranks, and which attempt this is, from 1.

    Raises:
        torch.distributed.DistError: a rank did not come in time.
    """
    store, rank, world = next(iter(dist.rendezvous("env://", timeout=timeout)))
    store.set_timeout(timeout)
    board = dist.PrefixStore("drawl/meeting", store)
    attempt = _call(board, world, timeout) if rank == 0 else _answer(board, rank)
    return dist.PrefixStore(f"drawl/attempt/{attempt}", store), rank, world, attempt


def _answer(board: dist.Store, rank: int) -> int:
    """Say that this process is here and wait until rank 0 tells it, under its own name, the number of the attempt."""
    name = uuid.uuid4().hex  # a former process of the same rank had another
    board.set(str(rank), name)
    attempt = int(board.get(name))
    board.add(f"joined/{attempt}", 1)
    return attempt


def _call(board: dist.Store, world: int, timeout: timedelta) -> int:
    """Count a new attempt and tell it to whoever shows up, until all ranks of it have joined."""
    attempt = board.add("attempts", 1)
    told: dict[int, bytes] = {}  # at first perhaps the name of a dead process; the living one replaces it
    end = time.monotonic() + timeout.total_seconds()
    while board.add(f"joined/{attempt}", 0) < world - 1:
        for rank in range(1, world):
            name = board.get(str(rank)) if board.check([str(rank)]) else None
            if name is not None and told.get(rank) != name:
                board.set(name.decode(), str(attempt))
                told[rank] = name
        if time.monotonic() > end:
            raise dist.DistStoreError(f"only some of {world} ranks came within {timeout}; are all nodes running?")
        time.sleep(POLL_SECONDS)
    return attempt
