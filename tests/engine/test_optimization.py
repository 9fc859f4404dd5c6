"""An optimiser takes what may be trained, and its schedule knows where the training ends."""

import pytest
import torch
from torch import nn

from common.errors import UserError
from config import Factory
from engine.optimization import Length, Optimization
from engine.schedules import cosine


@pytest.mark.parametrize(("length", "steps"), [(Length(3), 30), (Length(3, 12), 12), (Length(3, 99), 30)])
def test_the_length_is_the_shorter_limit(length, steps):
    assert length.steps(10) == steps


def test_frozen_parts_are_left_out_and_the_schedule_ends_with_the_training():
    moving, frozen = nn.Linear(2, 3), nn.Linear(3, 2).requires_grad_(False)
    group = Optimization(
        lambda params: torch.optim.SGD(params, lr=1.0),
        lambda optimizer, steps_per_epoch, total_steps: cosine(optimizer, total_steps, final=0.25 * steps_per_epoch),
    )
    optimizer, schedule = group.start([moving, frozen], 2, Length(9, max_steps=4))
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in moving.parameters()]
    for _ in range(4):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(0.5)]


def test_without_a_schedule_the_rate_is_constant():
    assert Optimization(torch.optim.Adam).start([nn.Linear(2, 2)], 5, Length(1))[1] is None


def test_a_schedule_that_the_length_allows_no_rise_is_one_sentence():
    """A tenth of ten steps is one step, over which torch divides by zero."""
    factory = Factory(
        torch.optim.lr_scheduler.OneCycleLR, {"max_lr": 0.1, "epochs": None, "pct_start": 0.1}, "schedule"
    )
    group = Optimization(torch.optim.Adam, factory)
    with pytest.raises(UserError, match=r"the schedule cannot be made for a training of 10 steps .*division by zero"):
        group.start([nn.Linear(2, 2)], 5, Length(2))
    assert group.start([nn.Linear(2, 2)], 5, Length(20))[1] is not None


def test_a_schedule_that_only_its_last_step_cannot_make_is_one_sentence():
    """Torch divides by zero in the last step of a rise that ends the training."""
    factory = Factory(
        torch.optim.lr_scheduler.OneCycleLR, {"max_lr": 0.1, "epochs": None, "pct_start": 1.0}, "schedule"
    )
    with pytest.raises(UserError, match=r"cannot be made for a training of 10 steps .*division by zero"):
        Optimization(torch.optim.Adam, factory).start([nn.Linear(2, 2)], 5, Length(2))


def test_a_rate_of_zero_is_warned_of(caplog):
    def no_rate(params):
        return torch.optim.SGD(params, lr=0.0)

    def cosine_of(rate):
        group = Optimization(
            lambda params: torch.optim.SGD(params, lr=rate), Factory(cosine, {"warmup_steps": 3}, "schedule")
        )
        group.start([nn.Linear(2, 2)], 5, Length(2))

    def cycle(optimizer, **_):
        return torch.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 0.1, cycle_momentum=False)

    cosine_of(0.1)
    Optimization(no_rate, cycle).start([nn.Linear(2, 2)], 5, Length(2))
    assert not caplog.records
    Optimization(no_rate).start([nn.Linear(2, 2)], 5, Length(2))
    cosine_of(0.0)
    assert [record.message for record in caplog.records] == 2 * [
        "optimizer.lr is 0, so nothing is learned; give a learning rate such as 1.0e-3"
    ]
