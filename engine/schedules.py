"""Learning-rate schedules as functions of the optimisation step."""

import logging
import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from common import distributed
from config.limits import Chance, Count, CountOrZero

log = logging.getLogger(__name__)


def _warm(step: int, warmup_steps: int) -> float:
    return min(1.0, (step + 1) / (warmup_steps + 1))


def _warn(message: str, *values: float) -> None:
    """Warn once, not on every rank."""
    if distributed.is_main():
        log.warning(message, *values)


def _warn_of_long(warmup_steps: int, total_steps: int | None) -> None:
    """Warn of a warm-up that the run does not live to see the end of."""
    if total_steps is not None and warmup_steps >= total_steps:
        _warn(
            "the run has %d steps, so with warmup_steps=%d the learning rate only rises, to %.0f %% of what is set; "
            "give fewer warmup_steps", total_steps, warmup_steps, 100 * _warm(total_steps - 1, warmup_steps),
        )  # fmt: skip


def constant(optimizer: Optimizer, warmup_steps: CountOrZero = 0, total_steps: int | None = None) -> LambdaLR:
    """Keep the learning rate, after a linear warm-up.

    Args:
        optimizer: whose learning rates are scaled.
        warmup_steps: linear warm-up, 0 for none; one as long as the whole run is warned of.
        total_steps: optimisation steps of the run, where they are known.

    Returns:
        The schedule, to be stepped once per optimisation step.
    """
    _warn_of_long(warmup_steps, total_steps)
    return LambdaLR(optimizer, lambda step: _warm(step, warmup_steps))


def step_decay(
    optimizer: Optimizer,
    steps_per_epoch: int,
    every_epochs: Count,
    factor: Annotated[float, Field(gt=0, le=10)],
    warmup_steps: CountOrZero = 0,
    total_steps: int | None = None,
    first_epoch: Literal[0, 1] = 0,
    least: Chance = 0.0,
) -> LambdaLR:
    """Multiply the learning rate by ``factor`` once every ``every_epochs`` epochs.

    As published: ×0.1 every ``lrdecay`` epochs (learning-by-drawing), ×0.95 every 3 epochs (ResDAVEnet-VQ, whose epochs
    are numbered from 1), ×0.98 every epoch while the rate is above a tenth of the first (AttnGAN's matching model).

    Args:
        optimizer: whose learning rates are scaled.
        steps_per_epoch: optimisation steps in an epoch.
        every_epochs: epochs between two drops, at least 1.
        factor: the multiplier of a drop, above 0.
        warmup_steps: linear warm-up, 0 for none; one as long as the whole run is warned of.
        total_steps: optimisation steps of the run, where they are known.
        first_epoch: number of the first epoch; the rate drops where an epoch's number is a multiple of
            ``every_epochs``: with 0 after that many epochs, with 1 one epoch earlier, as in ResDAVEnet-VQ.
        least: share of the first rate at or below which it does not drop any further.

    Returns:
        The schedule, to be stepped once per optimisation step.

    Raises:
        ValueError: ``every_epochs`` below 1 or ``factor`` not above 0.
    """
    if every_epochs < 1 or factor <= 0:
        raise ValueError(f"found every_epochs={every_epochs}, factor={factor}; expected at least 1 and above 0")
    _warn_of_long(warmup_steps, total_steps)
    most_drops = math.ceil(math.log(least) / math.log(factor)) if least > 0 and factor < 1 else None

    def scale(step: int) -> float:
        drops = (step // steps_per_epoch + first_epoch) // every_epochs
        return _warm(step, warmup_steps) * factor ** (drops if most_drops is None else min(drops, most_drops))

    return LambdaLR(optimizer, scale)


def cosine(optimizer: Optimizer, total_steps: int, warmup_steps: CountOrZero = 0, final: Chance = 0.0) -> LambdaLR:
    """Follow half a cosine from 1 to ``final`` (a fraction of the base rate) after a linear warm-up. arXiv:1608.03983.

    A warm-up as long as the whole run (a trial of a few steps) is shortened to half of it, with a warning.

    Args:
        optimizer: whose learning rates are scaled.
        total_steps: optimisation steps of the whole run; the rate stays at ``final`` beyond.
        warmup_steps: optimisation steps until the full rate, 0 for none.
        final: the last rate as a fraction of the first.

    Returns:
        The schedule, to be stepped once per optimisation step.
    """
    if warmup_steps >= total_steps:
        _warn("the run has %d steps, so warmup_steps=%d becomes %d", total_steps, warmup_steps, total_steps // 2)
        warmup_steps = total_steps // 2
    return LambdaLR(optimizer, _cosine_scale(total_steps, warmup_steps, final))


def _cosine_scale(total_steps: int, warmup_steps: int, final: float) -> Callable[[int], float]:
    def scale(step: int) -> float:
        if step < warmup_steps:
            return _warm(step, warmup_steps)
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return scale
