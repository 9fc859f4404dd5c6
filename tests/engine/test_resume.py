"""A run that goes on: the weights and rows of an uninterrupted one, and no other data, rates or nonsense unsaid."""

import json
import logging
import os
import random
import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.lr_scheduler import LambdaLR

from common.errors import UserError
from common.safe_load import read_torch_values
from engine import checkpoint, resumable, seeding
from engine.run_folder import RunFolder
from engine.settings import CheckpointSettings, TrainerSettings
from tests.engine.toy import ToyTask, weights
from trainer import Trainer


class Killed(BaseException):
    """Ends a training where it is, as kill -9 does: nothing is caught, saved or logged."""


def make(folder, task=None, epochs=2, **settings):
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    saving = CheckpointSettings(every_steps=3)  # never together with a row of the log, and at the end of no epoch
    given = {"epochs": epochs, "log_every_steps": 5, "checkpoint": saving} | settings
    return Trainer(task or ToyTask(), TrainerSettings(**given), 0, torch.device("cpu"), run, "config: x")


def rows(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("speed/")} for row in lines]


def killed_at(moment, loop, monkeypatch):
    """Train until the given frame, counted over everything that leaves a trace; whether it came."""
    count = 0

    def counted(function):
        def call(*args, **keywords):
            nonlocal count
            before = count = count + 1
            if before == moment:
                raise Killed
            result = function(*args, **keywords)
            count += 1
            if count == moment:
                raise Killed
            return result

        return call

    with monkeypatch.context() as patch:
        patch.setattr(loop.task, "train_step", counted(loop.task.train_step))
        patch.setattr(loop.task, "evaluate", counted(loop.task.evaluate))
        patch.setattr(loop.folder, "append", counted(loop.folder.append))
        patch.setattr(checkpoint, "write", counted(checkpoint.write))
        try:
            loop.fit()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("settings", [{}, {"max_steps": 13}])
def test_rows_and_weights_after_a_kill_at_any_step_are_those_of_an_uninterrupted_run(tmp_path, monkeypatch, settings):
    whole = make(tmp_path / "whole", **settings)
    whole.fit()
    expected = rows(whole.folder.path)
    assert [row["step"] for row in expected] == ([5, 8, 10, 13, 13] if settings else [5, 8, 10, 15, 16, 16])
    moment, finished = 1, False
    while not finished:
        folder = tmp_path / str(moment)
        finished = not killed_at(moment, make(folder, **settings), monkeypatch)
        again = make(folder, **settings)
        if again.folder.last.exists():
            torch.manual_seed(99)  # whatever the new process drew before
        again.saver.resume()
        again.fit()
        assert rows(folder) == expected, moment
        assert torch.equal(weights(again.task), weights(whole.task)), moment
        moment += 11
    assert moment > 50


def test_a_stop_at_the_very_last_step_keeps_the_last_rows(tmp_path):
    whole = make(tmp_path / "whole", max_steps=7)
    whole.fit()
    loop = make(tmp_path / "stopped", max_steps=7)
    loop.task.after_step = lambda index: os.kill(os.getpid(), signal.SIGTERM) if index == 6 else None
    with pytest.raises(UserError, match="stopped after step 7"):
        loop.fit()
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")


def test_tensorboard_shows_each_step_once_after_a_kill(tmp_path, monkeypatch):
    loop = make(tmp_path / "run", checkpoint=CheckpointSettings(every_steps=8))
    assert killed_at(24, loop, monkeypatch)  # the evaluation of step 8 is logged, but its checkpoint is of before it
    assert rows(tmp_path / "run")[-1]["step"] == 8
    again = make(tmp_path / "run", checkpoint=CheckpointSettings(every_steps=8))
    assert again.saver.resume()
    assert again.at.step == 8
    again.fit()
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    for name, points in again.folder.curves().items():
        assert [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)] == points, name


NONSENSE = {
    "step": (-3, "its step is '-3'"),
    "epoch": (1.5, "its epoch is '1.5'"),
    "batch": ([1], "its batch is"),
    "seconds": (float("nan"), "its seconds is 'nan'"),
    "best": ("high", "its best is 'high'"),
    "random": ([], "its random is"),
    "modules": ([1], "its modules is"),
    "optimizers": ({"net": 3}, "its optimizers is"),
    "logged": ({"loss": 3.0}, "its logged is"),
    "history_rows": (-1, "its history_rows is '-1'"),
    "learns_from": ({"training set": 4}, "its learns_from is"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_a_checkpoint_is_refused_and_the_previous_one_taken(tmp_path, caplog, name):
    loop = make(tmp_path / "run", epochs=1)
    loop.fit()
    value, message = NONSENSE[name]
    state = read_torch_values(loop.folder.last)
    checkpoint.write(loop.folder.last, state | {name: value})
    again = make(tmp_path / "run", epochs=1)
    assert again.saver.resume()
    assert again.at.step == 6
    assert f"last.pt is whole but holds no training that could go on: {message}" in caplog.text


def test_random_states_of_another_kind_are_named():
    state = seeding.random_state()
    assert seeding.random_error(state) is None
    other = np.random.Generator(np.random.MT19937(1)).bit_generator.state["state"]["key"]
    wrong = {
        "python": [7, torch.zeros(625, dtype=torch.int64), None],
        "numpy": ["PCG64", torch.from_numpy(other.astype(np.int64)), 3, 0, 0.0],
        "torch": torch.zeros(5056),
        "cuda": [1, 2],
    }
    before = random.getstate(), torch.get_rng_state()
    for name, value in wrong.items():
        found = seeding.random_error(state | {name: value})
        assert found == f"the random state of {name.upper() if name == 'cuda' else name}"
    assert seeding.random_error([1]) == "the random state"
    assert random.getstate() == before[0]  # trying them changed nothing
    assert torch.equal(torch.get_rng_state(), before[1])


class Learner(ToyTask):
    """Says what it learns from."""

    def __init__(self, **data):
        super().__init__()
        self.data = {name.replace("_", " "): value for name, value in data.items()}

    def learns_from(self):
        return self.data


def test_a_changed_training_set_is_refused_unless_asked_for(tmp_path, caplog):
    folder = tmp_path / "run"
    make(folder, Learner(training_set="24 rows", generator="a", test_set="9 rows"), epochs=1).fit()
    with pytest.raises(UserError, match=r"\(training set: 24 rows then, 40 rows now\); .* run\.changed_data=accept"):
        make(folder, Learner(training_set="40 rows", generator="a")).saver.resume()
    with pytest.raises(UserError, match=r"\(generator: a then, b now\)"):
        make(folder, Learner(training_set="24 rows", generator="b")).saver.resume()
    assert not caplog.records
    assert make(folder, Learner(training_set="24 rows", generator="a", test_set="7 rows")).saver.resume()
    assert "goes on with other data than it began with (test set: 9 rows then, 7 rows now)" in caplog.text
    loop = make(folder, Learner(training_set="40 rows", generator="a"), epochs=2)
    assert loop.saver.resume(accept_changed_data=True)
    loop.fit()
    assert make(folder, Learner(training_set="40 rows", generator="a")).saver.resume()  # the checkpoint knows it now


def test_a_checkpoint_of_an_earlier_version_goes_on(tmp_path):
    loop = make(tmp_path / "run", epochs=1)
    loop.fit()
    state = read_torch_values(loop.folder.last)
    new = ("logged", "history_rows", "learns_from")
    checkpoint.write(loop.folder.last, {name: value for name, value in state.items() if name not in new})
    again = make(tmp_path / "run", Learner(training_set="40 rows"))
    assert again.saver.resume()
    assert len(rows(tmp_path / "run")) == 3


def test_a_jump_of_the_learning_rate_is_reported_with_both_rates(tmp_path, caplog):
    def task(total):
        made = ToyTask()
        made.schedulers = {"net": LambdaLR(made.optimizers["net"], lambda step: 1 - min(step, total - 1) / total)}
        return made

    make(tmp_path / "run", task(16)).fit()
    assert make(tmp_path / "run", task(16)).saver.resume()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert make(tmp_path / "run", task(32), epochs=4).saver.resume()
    assert "the learning rate of 'net' goes from 0.000625, where the checkpoint left it, to 0.005: " in caplog.text


def test_whether_two_rates_are_alike():
    assert resumable._alike(0.0, 0.0)
    assert resumable._alike(1e-3, 1.01e-3)
    assert not resumable._alike(1e-3, 0.0)
    assert not resumable._alike(1e-3, 2e-3)
