"""How the ranks of a job find each other: the address, the store behind it, and the attempt that they belong to.

Whatever waits here waits in Python, a moment at a time, so that Ctrl-C and SIGTERM end it.
"""

import logging
import os
import queue
import socket
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from common.errors import UserError

log = logging.getLogger(__name__)
MEETING_TIMEOUT = timedelta(minutes=10)  # for the slowest rank to come, from the first one on
NAME_SECONDS = 30.0  # for a name to become known: some clusters announce it late
CONNECT_SECONDS = 3.0  # of one attempt
STORE_TIMEOUT = timedelta(seconds=10)  # of one attempt in compiled code, where signals wait
POLL_SECONDS = 0.1
MEETING_POLL_SECONDS = 0.02
SHOWN_REASON = 200  # characters


class RankError(UserError):
    """The environment describes no rank, or one that does not find the others."""


def meet(timeout: timedelta) -> tuple[dist.Store, int, int, int]:
    """Meet the other ranks in an unused part of torchrun's store; return it, rank, world size and attempt (from 1).

    torchrun's agent keeps one key-value store for the whole job and gives it to every attempt (pytorch/pytorch issue
    135712). It still holds the entries of a failed attempt, such as addresses of dead processes, to which
    ``init_process_group`` would connect. torchrun's own count of restarts does not tell attempts apart, because each
    node counts its own failures only.

    Raises:
        RankError: the address is unknown, nobody serves there, or a rank does not come in time.
    """
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = _store(rank, timeout)
    store.set_timeout(STORE_TIMEOUT)
    board = dist.PrefixStore("drawl/meeting", store)
    try:
        attempt = _call(board, world, timeout) if rank == 0 else _join(board, rank, timeout)
    except dist.DistError as error:
        raise RankError(
            f"rank {rank} lost the others while they met at {_meeting_point()} ({_reason(error)}); look at what rank 0 "
            "said last"
        ) from error
    return dist.PrefixStore(f"drawl/attempt/{attempt}", store), rank, world, attempt


def _store(rank: int, timeout: timedelta) -> dist.Store:
    """Connect to the store at MASTER_ADDR, which rank 0 serves unless torchrun's agent does.

    Torch's own rendezvous waits in compiled code, where no signal ends it. Here compiled code is entered when somebody
    is there who answers, and for seconds only.
    """
    by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    host, port, serves = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), rank == 0 and not by_agent
    addresses = _addresses(host, port)
    end = time.monotonic() + timeout.total_seconds()
    while True:
        try:
            if not serves:
                _reach(addresses)
            return dist.TCPStore(
                host, port, is_master=serves, timeout=STORE_TIMEOUT, wait_for_workers=False, multi_tenant=not by_agent
            )
        except (OSError, RuntimeError) as error:
            if serves:
                raise RankError(
                    f"rank 0 cannot serve at {_meeting_point()} ({_reason(error)}); give the name or address of the "
                    "machine that rank 0 runs on, and a free port"
                ) from error
            if time.monotonic() > end:
                raise RankError(
                    f"rank {rank} found no rank 0 at {_meeting_point()} within {_seconds(timeout)} ({_reason(error)}); "
                    "look whether it runs there, and whether a firewall closes the port"
                ) from error
        time.sleep(POLL_SECONDS)


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return the socket addresses of a name; one that stays unknown is a RankError.

    It is looked up in a thread, so that a slow name server keeps no signal waiting.
    """
    end, warned = time.monotonic() + NAME_SECONDS, False
    while True:
        found: queue.SimpleQueue[list[tuple[Any, ...]] | Exception] = queue.SimpleQueue()
        threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
        try:
            known = found.get(timeout=max(POLL_SECONDS, end - time.monotonic()))
        except queue.Empty:
            known = TimeoutError("the name server does not answer")
        if not isinstance(known, Exception):
            return known
        if time.monotonic() + POLL_SECONDS > end:
            raise RankError(
                f"the environment variable MASTER_ADDR is {host!r}, a name that this machine does not know "
                f"({_reason(known)}); give the name or address of the machine that rank 0 runs on"
            ) from known
        if not warned:
            log.warning("the name %r of MASTER_ADDR is not known; trying again for %.0f s", host, NAME_SECONDS)
            warned = True
        time.sleep(POLL_SECONDS)


def _look_up(host: str, port: int, found: "queue.SimpleQueue[list[tuple[Any, ...]] | Exception]") -> None:
    try:
        found.put([row[4] for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
    except (OSError, UnicodeError) as error:  # a label of a name may have 63 characters
        found.put(error)


def _reach(addresses: list[tuple[Any, ...]]) -> None:
    """Raise an OSError where none of some addresses takes a connection."""
    for address in addresses:
        try:
            socket.create_connection(address[:2], timeout=CONNECT_SECONDS).close()
        except OSError as error:
            last = error
        else:
            return
    raise last


def _meeting_point() -> str:
    return f"MASTER_ADDR={os.environ['MASTER_ADDR']}, MASTER_PORT={os.environ['MASTER_PORT']}"


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():.0f} s"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:SHOWN_REASON]


def _join(board: dist.Store, rank: int, timeout: timedelta) -> int:
    """Announce this process by a random name and return the attempt's number, which rank 0 writes under that name."""
    name = uuid.uuid4().hex  # a former process of the same rank had another
    board.set(str(rank), name)
    end = time.monotonic() + timeout.total_seconds()
    while not board.check([name]):  # waiting inside the store would keep signals waiting
        if time.monotonic() > end:
            raise RankError(
                f"rank {rank} waited {_seconds(timeout)} for rank 0, which did not come; are all nodes running?"
            )
        time.sleep(MEETING_POLL_SECONDS)
    attempt = int(board.get(name))
    board.add(f"joined/{attempt}", 1)
    return attempt


def _call(board: dist.Store, world: int, timeout: timedelta) -> int:
    """Count a new attempt and write its number under the name of each rank until all have joined; return the number."""
    attempt = board.add("attempts", 1)
    notified: dict[int, bytes] = {}  # at first perhaps the name of a dead process; the living one replaces it
    end = time.monotonic() + timeout.total_seconds()
    while board.add(f"joined/{attempt}", 0) < world - 1:
        for rank in range(1, world):
            name = board.get(str(rank)) if board.check([str(rank)]) else None
            if name is not None and notified.get(rank) != name:
                board.set(name.decode(), str(attempt))
                notified[rank] = name
        if time.monotonic() > end:
            raise RankError(f"only some of {world} ranks came within {_seconds(timeout)}; are all nodes running?")
        time.sleep(MEETING_POLL_SECONDS)
    return attempt
