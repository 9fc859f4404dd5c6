"""Checks that a run can go on from a checkpoint: nonsense inside, other data, another learning rate.

A file may be whole, as its checksums say, and still hold what no training wrote.
"""

import logging
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from common import distributed
from common.errors import UserError
from engine import seeding
from engine.checkpoint import CheckpointError

log = logging.getLogger(__name__)

COUNTERS = ("step", "epoch", "batch")
KINDS = ("modules", "averages", "optimizers", "schedulers", "scalers")
HELD_OUT = ("validation set", "test set", "files of the validation set", "files of the test set")  # not learned from
JUMP = 1.02  # smallest ratio of two learning rates that is reported


def check_state(state: dict[str, Any], source: str) -> None:
    """Raise a CheckpointError, which names the file ``source``, for a state that no training writes."""
    error = _error(state)
    if error is not None:
        raise unfit(source, error)


def unfit(source: str, error: str) -> CheckpointError:
    """Return the error of a file that is whole but holds no state of a training."""
    return CheckpointError(f"{source} is whole but holds no training that could go on: {error}")


def _error(state: dict[str, Any]) -> str | None:
    """Return a message about the first value that no training writes; None where there is none."""
    expected = {
        **dict.fromkeys(COUNTERS, ("a whole number from 0", _counts)),
        "seconds": ("a number from 0", lambda value: _number(value) and 0 <= value < math.inf),
        "best": ("a number", lambda value: _number(value) and value < math.inf),
        "random": ("a list of random states", lambda value: isinstance(value, list) and len(value) > 0),
        **dict.fromkeys(KINDS, ("states by name", _states)),
    }
    for name, (words, fits) in expected.items():
        if name not in state:
            return f"it has no {name}"
        if not fits(state[name]):
            return f"its {name} is {str(state[name])[:40]!a}, expected {words}"
    for name, (words, fits) in {
        "history_rows": ("a whole number from 0", _counts),
        "logged": ("numbers by name", _series),
        "learns_from": ("text by name", _texts),
        "gradients": ("learned and idle by name", _gradients),
    }.items():  # checkpoints of earlier versions have none of these
        if name in state and not fits(state[name]):
            return f"its {name} is {str(state[name])[:40]!a}, expected {words}"
    errors = filter(None, map(seeding.random_error, state["random"]))
    return next((f"{error} is of another kind of generator, or damaged" for error in errors), None)


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _states(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, Mapping) for part in value.values())


def _series(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(map(_writable, value)) and all(
        isinstance(series, list) and all(map(_number, series)) for series in value.values()
    )


def _texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_writable, value)) and all(map(_writable, value.values()))


def _writable(text: Any) -> bool:
    """Return whether a value is text that a file in UTF-8 can hold, which half a pair of surrogates is not."""
    return isinstance(text, str) and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _gradients(value: Any) -> bool:
    return _states(value) and all(
        found.keys() == {"learned", "idle"} and isinstance(found["learned"], bool) and _counts(found["idle"])
        for found in value.values()
    )


def check_data(former: Mapping[str, str], now: Mapping[str, str], source: str, accept: bool) -> None:
    """Raise a UserError where the training data changed and ``accept`` is False; warn where other data did.

    ``former`` is :meth:`engine.task.Task.learns_from` of the checkpoint ``source``, empty in those of earlier versions.
    """
    changed = [name for name in now if former.get(name, now[name]) != now[name]]
    texts = "; ".join(f"{name}: {former[name]} then, {now[name]} now" for name in changed)
    if not accept and not set(changed) <= set(HELD_OUT):
        raise UserError(
            f"{source} was written with other data than this config finds ({texts}); put back what was there, give "
            "another run.name=..., or go on with what is there now by run.changed_data=accept"
        )
    if changed and distributed.is_main():
        log.warning("the run goes on with other data than it began with (%s)", texts)


def say_jump(name: str, scheduler: LRScheduler) -> None:
    """Warn where a restored schedule goes on at another learning rate than the checkpoint ended with."""
    if not isinstance(scheduler, LambdaLR):  # the others keep their whole curve in the checkpoint
        return
    scales = [scale(scheduler.last_epoch) for scale in scheduler.lr_lambdas]
    before = [float(group["lr"]) for group in scheduler.optimizer.param_groups]
    after = [base * scale for base, scale in zip(scheduler.base_lrs, scales, strict=True)]
    jump = next((pair for pair in zip(before, after, strict=True) if not _alike(*pair)), None)
    if jump is not None and distributed.is_main():
        log.warning(
            "the learning rate of '%s' goes from %.3g, where the checkpoint left it, to %.3g: its schedule is made for "
            "a number of steps, which changed with trainer.epochs, trainer.max_steps or the training set",
            name, *jump,
        )  # fmt: skip


def _alike(old: float, new: float) -> bool:
    return old == new or (min(old, new) > 0 and max(old, new) / min(old, new) < JUMP)
