"""Ranks that meet in a store which an earlier attempt has used, or do not meet."""

import importlib
import os
import signal
import socket
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from common import distributed, rank_meeting

SHORT = timedelta(seconds=20)


@pytest.fixture
def agent(monkeypatch):
    """The store of torchrun's agent, and its environment."""
    server = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    environment = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(server.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(distributed.RESTARTS, raising=False)
    return server


def client(agent, prefix="drawl/meeting"):
    return dist.PrefixStore(prefix, dist.TCPStore("localhost", agent.port, is_master=False))


def meet_all(agent, world):
    """Let ``world`` ranks meet in threads; returns what rank 0 wrote and each other rank read, and the attempts."""
    boards = [client(agent) for _ in range(world)]
    attempts = [0] * world

    def other(rank):
        attempts[rank] = rank_meeting._join(boards[rank], rank, SHORT)

    threads = [threading.Thread(target=other, args=(rank,)) for rank in range(1, world)]
    for thread in threads:
        thread.start()
    attempts[0] = rank_meeting._call(boards[0], world, SHORT)
    for thread in threads:
        thread.join(timeout=20)
    return attempts


def test_every_rank_learns_the_attempt_whatever_is_left_of_the_last_one(agent):
    board = client(agent)
    board.set("1", "a dead process")
    assert meet_all(agent, 3) == [1, 1, 1]
    assert meet_all(agent, 3) == [2, 2, 2]
    assert meet_all(agent, 2) == [3, 3]  # a node has left
    assert meet_all(agent, 4) == [4] * 4


def test_what_an_earlier_attempt_wrote_is_not_seen(agent, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    first, rank, world, attempt = rank_meeting.meet(SHORT)
    assert (rank, world, attempt) == (0, 1, 1)
    first.set("address", "of the dead")
    second, _, _, attempt = rank_meeting.meet(SHORT)
    assert attempt == 2
    assert not second.check(["address"])


def test_a_rank_that_never_comes_is_missed(agent):
    with pytest.raises(rank_meeting.RankError, match="only some of 2 ranks came within 0 s"):
        rank_meeting._call(client(agent), 2, timedelta(seconds=0.1))


def test_restarts_are_known_where_torchrun_counts_none(agent, monkeypatch):
    """The node whose ranks were well starts them again with a count of 0."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", distributed.RESTARTS: "0"}.items():
        monkeypatch.setenv(name, value)
    counts = []
    for _ in range(2):
        distributed.start(distributed.torch.device("cpu"))
        distributed.stop()
        counts.append(os.environ[distributed.RESTARTS])
    assert counts == ["0", "1"]


def threads():
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds threads in /proc")
def test_a_group_leaves_no_thread_behind(agent, monkeypatch):
    """One that lives on in the end of the interpreter may abort the process: torch imports what keeps the group."""
    set_rank(monkeypatch, 0, "localhost", agent.port)
    for name, value in {"WORLD_SIZE": "1", "TORCHELASTIC_USE_AGENT_STORE": "True", distributed.RESTARTS: "0"}.items():
        monkeypatch.setenv(name, value)
    distributed.start(distributed.torch.device("cpu"))
    importlib.import_module("torch.distributed.nn.functional")
    distributed.any_rank(True)
    dist.barrier()
    assert "pt_gloo_runloop" in threads()
    distributed.stop()
    assert "pt_gloo_runloop" not in threads()


def set_rank(monkeypatch, rank, host, port):
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    environment = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": host, "MASTER_PORT": port}
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 64 + ".invalid"])
def test_an_unknown_address_is_one_sentence(monkeypatch, rank, name):
    set_rank(monkeypatch, rank, name, 29500)
    monkeypatch.setattr(rank_meeting, "NAME_SECONDS", 0.2)
    with pytest.raises(rank_meeting.RankError, match=f"MASTER_ADDR is '{name}', a name that this machine does not kn"):
        rank_meeting.meet(SHORT)


def test_an_address_where_nobody_serves_is_one_sentence(monkeypatch, free_port):
    set_rank(monkeypatch, 1, "localhost", free_port)
    with pytest.raises(rank_meeting.RankError, match=rf"found no rank 0 at .*PORT={free_port} within 0 s .*refus"):
        rank_meeting.meet(timedelta(seconds=0.2))


def test_a_port_that_another_program_has_is_one_sentence(monkeypatch):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        set_rank(monkeypatch, 0, "localhost", other.getsockname()[1])
        with pytest.raises(rank_meeting.RankError, match=r"rank 0 cannot serve at MASTER_ADDR=localhost, .*address"):
            rank_meeting.meet(SHORT)


class Stopped(Exception):
    """A signal came."""


def stop(_number, _frame):
    raise Stopped


@pytest.mark.parametrize("served", [True, False])
def test_a_signal_ends_the_wait(monkeypatch, agent, free_port, served):
    """Nobody serves at the address, or torchrun does and rank 0 does not come."""
    set_rank(monkeypatch, 1, "localhost", agent.port if served else free_port)
    former = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Stopped):
            rank_meeting.meet(SHORT)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, former)
