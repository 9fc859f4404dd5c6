"""Values of torch's optimisers and schedules that torch takes, and that end or spoil a training."""

import inspect

import pytest
import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

import config
from config.limits import TORCH_OPTIM
from config.signatures import parameters
from config.validate import value_errors
from tests.config.test_check import TRAIN, load

ADAM = "\n    optimizer: {type: torch.optim.Adam, lr: 1e-3}"
SCHEDULE = "torch.optim.lr_scheduler."


def check(tmp_path, optimizer="torch.optim.SGD, lr: 0.1, momentum: 0.9", schedule=None):
    group = f"{{optimizer: {{type: {optimizer}}}" + (f", schedule: {{type: {schedule}}}}}" if schedule else "}")
    return config.check(load(tmp_path, TRAIN.replace(ADAM, f" {group}")))


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (
            "torch.optim.SGD, lr: 0.1, dampening: -3",
            r"dampening: found -3 .*expected float, greater than or equal to 0",
        ),
        ("torch.optim.SGD, lr: .inf", r"lr: found inf"),
        ("torch.optim.SGD, momentum: 1", r"momentum: found 1 .*less than 1"),
        ("torch.optim.SGD, foreach: 3", r"foreach: found 3 \(int\), expected bool or null"),
        ("torch.optim.RMSprop, alpha: 2", r"alpha: found 2 .*less than 1"),
        ("torch.optim.ASGD, lambd: -1", r"lambd: found -1"),
        ("torch.optim.ASGD, t0: .nan", r"t0: found nan"),
        ("torch.optim.Adagrad, lr_decay: -1", r"lr_decay: found -1"),
        ("torch.optim.NAdam, momentum_decay: 7", r"momentum_decay: found 7"),
        ("torch.optim.Rprop, etas: [0.5, 0.9]", r"etas\.1: found 0\.9 .*greater than 1"),
        (
            "torch.optim.Rprop, step_sizes: [50, 1.0e-6]",
            r"step_sizes: found 50, 1e-06, expected the smallest step first",
        ),
        ("torch.optim.Adafactor, eps: [null, -1]", r"eps\.1: found -1"),
        ("torch.optim.Muon", r"type: found .*Muon, which is for matrices alone, .*choose torch\.optim\.AdamW"),
        ("torch.optim.Adafactor, beta2_decay: 0.5", r"beta2_decay: found 0\.5 .*less than or equal to 0"),
    ],
)
def test_optimisers(tmp_path, optimizer, message):
    with pytest.raises(config.ConfigError, match=rf"optimizer\.{message}"):
        check(tmp_path, optimizer)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("StepLR, step_size: 5, gamma: -1", r"gamma: found -1 .*greater than 0"),
        ("StepLR, step_size: -5", r"step_size: found -5"),
        ("ExponentialLR, gamma: 0", r"gamma: found 0"),
        ("ExponentialLR, gamma: 0.9, last_epoch: 5", r"last_epoch: found 5 .*expected -1"),
        ("MultiStepLR, milestones: [a]", r"milestones\.0: found 'a' \(str\), expected int"),
        ("MultiStepLR, milestones: [5, -5]", r"milestones\.1: found -5"),
        ("MultiStepLR, milestones: 5", r"milestones: found 5 \(int\), expected a list of int"),
        ("MultiStepLR, milestones: []", r"milestones: found \[\]"),
        ("ConstantLR, factor: 0", r"factor: found 0"),
        ("LinearLR, total_iters: 0", r"total_iters: found 0"),
        ("LinearLR, end_factor: 1.5", r"end_factor: found 1\.5"),
        ("PolynomialLR, power: -1", r"power: found -1"),
        ("CosineAnnealingLR, T_max: -3", r"T_max: found -3"),
        ("CosineAnnealingLR, T_max: 3, eta_min: -1", r"eta_min: found -1"),
        ("CosineAnnealingLR, T_max: 3, eta_min: 0.5", r"eta_min: found 0\.5, expected at most the learning rate, 0\.1"),
        ("CosineAnnealingWarmRestarts, T_0: 1.5", r"T_0: found 1\.5 \(float\), expected int"),
        ("CyclicLR, base_lr: 0.5, max_lr: 0.1", r"base_lr: found 0\.5, expected at most max_lr, 0\.1"),
        ("CyclicLR, base_lr: [0.5], max_lr: [0.1]", r"base_lr: found \[0\.5\], expected at most max_lr"),
        (
            "CyclicLR, base_lr: 0.1, max_lr: 0.2, base_momentum: 0.95",
            r"base_momentum: found 0\.95, expected at most",
        ),
        ("CyclicLR, base_lr: 0.1, max_lr: 0.2, step_size_up: -1", r"step_size_up: found -1"),
        ("CyclicLR, base_lr: 0.1, max_lr: 0.2, mode: up", r"mode: found 'up'"),
        ("OneCycleLR, max_lr: -0.1", r"max_lr: found -0\.1"),
        ("OneCycleLR, max_lr: 0.1, div_factor: -25", r"div_factor: found -25"),
        ("OneCycleLR, max_lr: 0.1, pct_start: 7", r"pct_start: found 7"),
        ("OneCycleLR, max_lr: 0.1, pct_start: 1.0", r"pct_start: found 1\.0 .*less than 1"),
        ("ExponentialLR, gamma: 10", r"gamma: found 10 .*less than or equal to 1"),
        ("LambdaLR", r"type: found .*LambdaLR, which takes a function, .*choose engine\.schedules\.constant"),
        ("MultiplicativeLR", r"type: found .*takes a function, .* or ExponentialLR"),
        ("ReduceLROnPlateau", r"type: found .*waits for a metric, .*choose engine\.schedules\.cosine"),
        ("SequentialLR", r"type: found .*joins schedules that are made in code; choose"),
    ],
)
def test_schedules(tmp_path, schedule, message):
    with pytest.raises(config.ConfigError, match=rf"schedule\.{message}"):
        check(tmp_path, schedule=SCHEDULE + schedule)


def test_a_schedule_of_momentum_needs_an_optimiser_with_it(tmp_path):
    cyclic = f"{SCHEDULE}CyclicLR, base_lr: 0.1, max_lr: 0.2"
    with pytest.raises(config.ConfigError, match=r"cycle_momentum: found true, .*Adagrad has neither momentum nor bet"):
        check(tmp_path, "torch.optim.Adagrad, lr: 0.1", cyclic)
    assert check(tmp_path, "torch.optim.Adagrad, lr: 0.1", f"{cyclic}, cycle_momentum: false")
    assert check(tmp_path, "torch.optim.Adam, lr: 0.1", cyclic)


@pytest.mark.parametrize(
    "schedule",
    [
        "StepLR, step_size: 5",
        "MultiStepLR, milestones: [3, 5], gamma: 0.5",
        "CosineAnnealingLR, T_max: 9, eta_min: 0.1",
        "OneCycleLR, max_lr: 1.0",
        "LinearLR",
    ],
)
def test_what_can_be_used_is_taken(tmp_path, schedule):
    assert check(tmp_path, schedule=SCHEDULE + schedule)


def classes():
    for module in (torch.optim, lr_scheduler):
        for found in vars(module).values():
            if inspect.isclass(found) and issubclass(found, Optimizer | LRScheduler):
                yield found


def test_every_number_of_torch_has_limits():
    """A class that a later torch brings must not come with free numbers; defaults are within the limits."""
    plain = (int, float, "int", "float")
    for one in classes():
        for name, parameter in parameters(one).items():
            if name in ("max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size", "total_steps"):
                continue  # LBFGS cannot be used; the program gives the steps
            assert parameter.annotation not in plain, (one.__name__, name)
            known = name in TORCH_OPTIM or f"{one.__name__}.{name}" in TORCH_OPTIM
            if known and not parameter.required:
                value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
                assert not list(value_errors(parameter.annotation, value, name)), (one.__name__, name)
