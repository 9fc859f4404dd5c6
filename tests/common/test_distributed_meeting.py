"""Ranks that meet in a store which an earlier attempt has used."""

import os
import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from common import distributed

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
        attempts[rank] = distributed._join(boards[rank], rank)

    threads = [threading.Thread(target=other, args=(rank,)) for rank in range(1, world)]
    for thread in threads:
        thread.start()
    attempts[0] = distributed._call(boards[0], world, SHORT)
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
    first, rank, world, attempt = distributed.meet(SHORT)
    assert (rank, world, attempt) == (0, 1, 1)
    first.set("address", "of the dead")
    second, _, _, attempt = distributed.meet(SHORT)
    assert attempt == 2
    assert not second.check(["address"])


def test_a_rank_that_never_comes_is_missed(agent):
    with pytest.raises(dist.DistStoreError, match="only some of 2 ranks came"):
        distributed._call(client(agent), 2, timedelta(seconds=0.1))


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
