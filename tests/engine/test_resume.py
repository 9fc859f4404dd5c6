"""A run that goes on: the weights and rows of an uninterrupted one, and no other data, rates or nonsense unsaid."""

import json
import logging
import os
import random
import re
import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

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


NAN = torch.tensor(float("nan"))
DAMAGE = {  # key path in a checkpoint, what is put there, and the message
    "last_epoch below 0": ("schedulers/net/last_epoch", -5, "schedulers 'net': its last_epoch is -5"),
    "last_epoch of text": ("schedulers/net/last_epoch", "x", "its last_epoch is 'x'"),
    "last_epoch beyond": ("schedulers/net/last_epoch", 10**6, "its last_epoch is 1000000"),
    "base_lrs": ("schedulers/net/base_lrs", [0.1, 0.2], "expected 1 finite numbers"),
    "batch": ("batch", 10**6, "its batch is 1000000, expected at most its step, 8"),
    "epoch": ("epoch", 10**6, "its epoch is 1000000, expected at most its step, 8"),
    "step": ("step", 2**52, "expected at most 8 in each epoch, of which 1 are done"),
    "complex": ("modules/net/0.weight", torch.zeros(16, 3) * 1j, "modules 'net': '0.weight' is a tensor of complex"),
    "int8": ("modules/net/0.weight", torch.zeros(16, 3, dtype=torch.int8), "expected a tensor of floating-point"),
    "no tensor": ("modules/net/0.weight", 3, "'0.weight' is 3, expected a tensor"),
    "NaN weights": ("modules/net/0.weight", NAN.expand(16, 3).clone(), "'0.weight' has values that are not finite"),
    "best": ("best", float("inf"), "its best is 'inf'"),
    "NaN rate": ("optimizers/net/param_groups/0/lr", float("nan"), "optimizers 'net': its lr is nan"),
    "rate below 0": ("optimizers/net/param_groups/0/lr", -0.1, "its lr is -0.1, expected a number from 0"),
    "rate of text": ("optimizers/net/param_groups/0/lr", "0.1", "its lr is '0.1'"),
    "betas": ("optimizers/net/param_groups/0/betas", 3, "its betas is 3"),
    "no eps": ("optimizers/net/param_groups/0/eps", None, "its eps is None"),
    "missing eps": ("optimizers/net/param_groups/0/eps", ..., "its group has no eps"),
    "groups": ("optimizers/net/param_groups", 3, "its param_groups is 3"),
    "other gradients": ("gradients/x", {"learned": True, "idle": 0}, r"its gradients are of \['x'\]"),
    "shape": ("optimizers/net/state/0/exp_avg", torch.zeros(5), "its exp_avg of weight 0 is a tensor of"),
    "one number": ("optimizers/net/state/0/exp_avg", torch.zeros(()), "its exp_avg of weight 0 is tensor"),
    "missing exp_avg": ("optimizers/net/state/0/exp_avg", ..., "its state of weight 0 has no exp_avg"),
    "steps": ("optimizers/net/state/0/step", "x", "its step of weight 0 is 'x'"),
    "state of another name": ("optimizers/net/state/optimizer", 4, "its state 'optimizer' is 4"),
    "state of a list": ("optimizers/net/state", [1], r"its state is \[1\]"),
    "momentum": ("optimizers/critic/state/0/momentum_buffer", torch.zeros(7), "optimizers 'critic': its momentum"),
    "surrogates": ("logged/\ud800", [1.0], "its logged is"),
}


def damaged(state, path, value):
    """Change one value of a nested state in place; ``...`` removes it."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in way:
        state = state[part]
    if value is ...:
        del state[last]
    else:
        state[last] = value


@pytest.mark.parametrize("case", DAMAGE)
def test_values_that_no_training_of_this_config_writes_are_refused_and_the_previous_one_taken(tmp_path, caplog, case):
    loop = make(tmp_path / "run", epochs=1)
    loop.fit()
    path, value, message = DAMAGE[case]
    state = read_torch_values(loop.folder.last)
    damaged(state, path, value)
    checkpoint.write(loop.folder.last, state)
    again = make(tmp_path / "run", epochs=1)
    assert again.saver.resume()
    assert again.at.step == 6
    assert re.search(f"last.pt is whole but holds no training that could go on: .*{message}", caplog.text)


@pytest.mark.parametrize(
    "kind", ["SGD", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "ASGD", "RMSprop", "Rprop", "Adafactor"]
)
def test_states_of_every_optimiser_go_on(tmp_path, caplog, kind):
    def task():
        return ToyTask(optimizer=getattr(torch.optim, kind))

    make(tmp_path / "run", task(), epochs=1).fit()
    assert make(tmp_path / "run", task()).saver.resume()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


SCHEDULES = {
    "OneCycleLR": lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=40),
    "CosineAnnealingWarmRestarts": lambda optimizer: CosineAnnealingWarmRestarts(optimizer, 3),
    "MultiStepLR": lambda optimizer: MultiStepLR(optimizer, [2, 5]),
    "SequentialLR": lambda optimizer: SequentialLR(optimizer, [ConstantLR(optimizer), LinearLR(optimizer)], [12]),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_states_of_every_schedule_go_on(tmp_path, caplog, kind):
    def task():
        made = ToyTask()
        made.schedulers = {"net": SCHEDULES[kind](made.optimizers["net"])}
        return made

    make(tmp_path / "run", task(), epochs=1).fit()
    assert make(tmp_path / "run", task()).saver.resume()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_epoch_that_became_shorter_may_hold_fewer_batches_than_are_done(tmp_path):
    loop = make(tmp_path / "run", epochs=1, max_steps=7)
    loop.fit()
    task = ToyTask()
    task.steps_per_epoch = 4
    again = make(tmp_path / "run", task)
    again.saver.state.config_text = "config: y"
    assert again.saver.resume()
    assert again.at.batch == 7


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
