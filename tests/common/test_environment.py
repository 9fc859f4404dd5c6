"""Leftovers of torchrun, a scheduler or a shell in the environment: ranks that there cannot be are one sentence."""

import pytest

import run
from common import distributed
from engine import exit_codes, run_config

RANK = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "first"}, "RANK is 'first', expected a whole number"),
        ({"RANK": "-1"}, "RANK is '-1'"),
        ({"WORLD_SIZE": "²"}, "WORLD_SIZE is '²'"),
        ({"TORCHELASTIC_RESTART_COUNT": "never"}, "TORCHELASTIC_RESTART_COUNT is 'never'"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK is ''"),
        (RANK, "no MASTER_ADDR and no MASTER_PORT"),
        ({**RANK, "MASTER_PORT": "29500"}, "no MASTER_ADDR,"),
        ({**RANK, "MASTER_ADDR": "localhost", "MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
        ({"MASTER_PORT": "99999999"}, "MASTER_PORT is 99999999, expected a port of at most 65535"),
        ({**RANK, "RANK": "3", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}, "RANK=3 and WORLD_SIZE=1"),
    ],
)
def test_ranks_that_cannot_be(monkeypatch, capsys, environment, message):
    for name in (*distributed.COUNTS, *distributed.ADDRESS):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(exit_codes, "SECOND_RANK_WAITS", 0)
    assert run.main(["-f", "quickstart.yaml", "--print-config"]) == 2
    found = capsys.readouterr().err
    assert message in found
    assert "Traceback" not in found


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_no_memory_is_one_sentence(monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(run_config, "planned_processes", fail)
    assert run.main(["-f", "quickstart.yaml"]) == 2
    assert "error: not enough memory" in capsys.readouterr().err
