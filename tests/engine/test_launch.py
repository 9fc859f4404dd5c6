"""Number of processes that a config is run by, on machines with any number of GPUs."""

import os
import subprocess
import sys

import pytest
import torch

import config
import run as program
from config import ConfigError
from engine import run_config
from engine.launch import planned_processes

RANK_OF_SIX = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "6"}


@pytest.fixture
def gpus(monkeypatch):
    """Pretend a number of visible GPUs."""
    return lambda count: monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def planned(name, *overrides):
    return planned_processes(config.check(config.load(name, list(overrides))))


@pytest.mark.parametrize(("visible", "count"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (8, 8), (9, 8)])
def test_as_many_gpus_as_share_the_batch(gpus, caplog, visible, count):
    gpus(visible)
    assert planned("quickstart") == count  # a batch of 32
    said = f"{visible} GPUs are visible, {count} of them are used: the most that share data.batch_size=32 evenly"
    assert [said in text for text in caplog.messages] == [True] * (count < visible)


def test_a_batch_that_only_one_can_have(gpus, caplog):
    gpus(4)
    assert planned("quickstart", "data.batch_size=7") == 1
    assert "1 of them is used" in caplog.text


def test_every_phase_of_a_growing_generator_is_shared(gpus, caplog):
    gpus(7)
    phases = "task.phases=[{resolution: 64, stable_images: 9, batch_size: %d}, {resolution: 128, stable_images: 9, %s}]"
    assert planned("gan/progan_world", phases % (12, "fade_images: 9, batch_size: 10")) == 2
    assert "task.phases.0.batch_size=12, task.phases.1.batch_size=10 evenly" in caplog.text
    assert planned("gan/progan_world", phases % (12, "fade_images: 9, batch_size: 18")) == 6


def test_a_fixed_number_is_kept_or_refused(gpus, monkeypatch, caplog):
    gpus(3)
    assert planned("quickstart", "launch.processes=4") == 4
    with pytest.raises(ConfigError, match=r"data.batch_size: found 32 for 3 processes.* number in launch.processes"):
        planned("quickstart", "launch.processes=3")
    for name, value in RANK_OF_SIX.items():
        monkeypatch.setenv(name, value)
    assert planned("quickstart", "launch.processes=4", "data.batch_size=36") == 6
    with pytest.raises(ConfigError, match="found 32 for 6 processes"):
        planned("quickstart")
    assert not caplog.messages


def test_what_knows_no_ranks_is_one_process(gpus):
    gpus(3)
    assert planned("words_by_drawing/evaluate") == 1


def test_run_starts_as_many_as_fit(gpus, monkeypatch):
    gpus(3)
    started = []
    monkeypatch.setattr(run_config, "relaunch", lambda count, arguments: started.append((count, arguments)) or 0)
    arguments = ["-f", "quickstart", "--dry-run"]
    assert program.main(arguments) == 0
    assert started == [(2, arguments)]


def test_the_suite_sees_no_gpus_unless_asked():
    """Nor do the programs that tests start; asked of a fresh interpreter, as torch keeps what it saw first."""
    for asked, seen in (("", ""), ("1", "5")):
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "5", "DRAWL_TEST_GPUS": asked}
        code = "import os, tests.conftest; print(os.environ['CUDA_VISIBLE_DEVICES'])"
        command = [sys.executable, "-c", code]
        result = subprocess.run(command, cwd=config.PROJECT_ROOT, env=environment, capture_output=True, text=True)
        assert result.stdout.strip() == seen, result.stderr
