"""Thousands of wrong configs, a few each time: every one is refused in sentences or is accepted and can be run.

The seeds are always the same, so that a change is not blamed for an old error; new configs and classes bring
new mutants all the same. ``DRAWL_FUZZ_SECONDS`` gives more time, ``DRAWL_FUZZ_SEED`` another seed (by hand).
"""

import os
import time
import warnings
from pathlib import Path

import pytest
import torch

import config
from common.errors import UserError
from engine.context import Context
from tests.config.mutants import Mutator

SECONDS = float(os.environ.get("DRAWL_FUZZ_SECONDS", 5))  # for each test
OTHER = [int(seed) for seed in os.environ.get("DRAWL_FUZZ_SEED", "").split()]
TINY = Path(__file__).parent.parent / "assets" / "configs" / "tiny.yaml"
SLOWEST = 20.0  # seconds for one config


def outcome(number, seed, name, values, do):
    """Do something with a mutant; return what it returns, None where it is refused; all else fails the test."""
    start = time.process_time()
    try:
        return do(config.Config(Path(name), values))
    except UserError as error:
        assert str(error)
        return None
    except Exception as error:
        raise AssertionError(f"mutant {number} of seed {seed}, of {name}, ends in {error!r}:\n{values}") from error
    finally:
        assert time.process_time() - start < SLOWEST, f"mutant {number} of seed {seed} takes long"


@pytest.mark.parametrize("seed", OTHER or [11, 12])
def test_no_config_ends_in_a_stack_trace(seed):
    shipped = {str(path): config.load(path).values for path in config.list_configs()}
    mutate, end, number = Mutator(shipped, seed), time.monotonic() + SECONDS / 2, 0
    while time.monotonic() < end:
        name, values = mutate()
        found = outcome(number, seed, name, values, config.check)
        if found is not None:  # what is accepted is written, read and accepted again, unchanged
            again = config.parse_yaml(config.dump(found), "written")
            assert again == found
            assert config.check(config.Config(Path(name), again)) == found
        number += 1
    assert number > 3


def dry(mutant):
    """Check a config, and make one step of it where it is accepted."""
    values = config.check(mutant)
    if values["trainer"]["compile"]:  # takes minutes
        return None
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.call_entry(values, context=Context("mutant", values, ["run.py"], dry_run=True))
    return values


@pytest.mark.parametrize("seed", OTHER or [21])
def test_what_is_accepted_can_be_run(seed, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    plain = {str(TINY): config.check(config.load(TINY))}
    mutate, end, number, done = Mutator(plain, seed, mild=True), time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        name, values = mutate()
        data = values.get("data")
        workers = data.get("workers") if isinstance(data, dict) else None
        heavy = workers not in (0, None) or "4096" in str(values) or "000000" in str(values)
        done += not heavy and outcome(number, seed, name, values, dry) is not None
        number += 1
    assert done
