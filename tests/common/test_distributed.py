"""Gathers and averages over real gloo processes."""

import time
from datetime import timedelta

import torch

from common import distributed
from engine import replicas
from tests.ranks import on_two_ranks


def collect(rank, world):
    uneven = distributed.gather_uneven(torch.full((rank + 1, 2), float(rank)))
    empty = distributed.gather_uneven(torch.ones(3 * rank, 1))
    padded = distributed.gather_padded(torch.full((1, 2 + rank), float(rank + 1)))
    used, unused, partly = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
    used.grad = torch.full((3,), float(rank + 1))
    if rank == 0:
        partly.grad = torch.ones(3)
    replicas.average_gradients([used, unused, partly])
    norm = torch.nn.BatchNorm1d(2)
    norm.running_mean.fill_(rank)
    replicas.average_running_statistics([norm])
    return {
        "uneven": uneven,
        "empty": empty,
        "padded": padded,
        "used": used.grad,
        "unused_is_none": unused.grad is None,
        "partly": partly.grad,
        "running_mean": norm.running_mean,
        "any": distributed.any_rank(rank == 1),
        "none": distributed.any_rank(False),
        "objects": distributed.gather_objects({"rank": rank}),
    }


def wait_for_main(rank, world, folder):
    store = torch.distributed.distributed_c10d._get_default_store()
    store.set_timeout(timedelta(seconds=0.2))  # whoever waits inside the store gives up
    found = []
    for turn in range(2):

        def work(turn=turn):
            time.sleep(0.6)
            (folder / f"made_{turn}").touch()

        distributed.main_first(work)
        found.append((folder / f"made_{turn}").exists())
    store.set_timeout(timedelta(seconds=30))
    return {"found": found}


def test_the_first_rank_may_take_longer_than_a_barrier_waits(tmp_path):
    assert [got["found"] for got in on_two_ranks(wait_for_main, tmp_path, tmp_path)] == [[True, True]] * 2


def test_collectives_of_two_ranks(tmp_path):
    for got in on_two_ranks(collect, tmp_path):
        assert got["uneven"].tolist() == [[0, 0], [1, 1], [1, 1]]
        assert got["empty"].shape == (3, 1)
        assert got["padded"].tolist() == [[1, 1, 0], [2, 2, 2]]
        assert got["used"].tolist() == [1.5] * 3
        assert got["unused_is_none"]
        assert got["partly"].tolist() == [0.5] * 3
        assert got["running_mean"].tolist() == [0.5, 0.5]
        assert got["any"]
        assert not got["none"]
        assert got["objects"] == [{"rank": 0}, {"rank": 1}]


def test_alone_everything_is_the_identity():
    rows = torch.ones(2, 3)
    assert distributed.gather_rows(rows) is rows
    assert distributed.gather_padded(rows) is rows
    assert distributed.gather_uneven(rows) is rows
    assert distributed.gather_objects(3) == [3]
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
