"""Learning rates step by step."""

import itertools

import pytest
import torch

from engine.schedules import constant, cosine, step_decay


def rates(make, steps, **keywords):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make(optimizer=optimizer, **keywords)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_step_decay_as_published():
    """x0.95 every 3 epochs: epochs 0-2 at the base rate, 3-5 at 0.95 of it, 6 at 0.95 squared."""
    found = rates(step_decay, 14, steps_per_epoch=2, every_epochs=3, factor=0.95)
    assert found[:6] == [2.0] * 6
    assert found[6:12] == pytest.approx([1.9] * 6)
    assert found[12:] == pytest.approx([2 * 0.95**2] * 2)


def test_step_decay_with_epochs_numbered_from_1():
    """lr * 0.95 ** (epoch // 3) for epoch = 1, 2, ...: the first drop comes after two epochs, the next after three."""
    found = rates(step_decay, 14, steps_per_epoch=2, every_epochs=3, factor=0.95, first_epoch=1)
    assert found == pytest.approx([2.0 * 0.95 ** (epoch // 3) for epoch in range(1, 8) for _ in range(2)])


def test_cosine_warms_up_and_ends_at_its_final_value():
    found = rates(cosine, 13, total_steps=12, warmup_steps=3, final=0.1)
    assert found[:3] == pytest.approx([0.5, 1.0, 1.5])
    assert found[3] == pytest.approx(2.0)
    assert found[12] == pytest.approx(0.2)
    assert all(a > b for a, b in itertools.pairwise(found[3:]))


def test_constant_and_errors(caplog):
    assert rates(constant, 3, warmup_steps=1) == pytest.approx([1.0, 2.0, 2.0])
    assert rates(cosine, 5, total_steps=4, warmup_steps=100) == rates(cosine, 5, total_steps=4, warmup_steps=2)
    assert "warmup_steps=100 becomes 2" in caplog.text
    with pytest.raises(ValueError, match="expected at least 1"):
        rates(step_decay, 1, steps_per_epoch=2, every_epochs=0, factor=0.5)


@pytest.mark.parametrize(
    ("make", "keywords"), [(constant, {}), (step_decay, {"steps_per_epoch": 2, "every_epochs": 3, "factor": 0.5})]
)
def test_a_warm_up_that_outlives_the_run_is_reported(caplog, make, keywords):
    assert rates(make, 4, warmup_steps=3, total_steps=4, **keywords) == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert not caplog.messages
    rates(make, 4, warmup_steps=7, total_steps=4, **keywords)
    (message,) = caplog.messages
    assert "the run has 4 steps, so with warmup_steps=7 the learning rate only rises, to 50 % of what is set" in message


def test_step_decay_stops_at_a_share_as_the_public_matching_model_does():
    """``if lr > first / 10: lr *= 0.98`` after each epoch: 114 drops, the last of which goes below the tenth."""
    rate, expected = 2.0, []
    for _ in range(130):
        expected.append(rate)
        rate = rate * 0.98 if rate > 2.0 / 10 else rate
    found = rates(step_decay, 130, steps_per_epoch=1, every_epochs=1, factor=0.98, least=0.1)
    assert found == pytest.approx(expected)
    assert found[-1] == pytest.approx(2 * 0.98**114)
