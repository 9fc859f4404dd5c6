"""Yield the errors of a planned training from the nodes of its config, before anything is built.

The ``validate_with_siblings`` (config/validate.py) of every task yields from these functions. They read the groups
beside ``task`` in the config of a training; a group that is missing has no errors.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from config import Problem, closest
from datasets.loading.batch_sizes import uneven_share
from engine.launch import fixed_processes

Node = Mapping[str, Any]


def plan_errors(
    modules: Sequence[str],
    metrics: Sequence[str],
    data: Node,
    trainer: Node | None,
    launch: Node | None,
    optimization: Node | None = None,
) -> Iterator[Problem]:
    """Yield all errors of a planned training; ``metrics`` are the names that ``trainer.best_by`` may have.

    ``data.batch_size``, where there is one, is the size of the global batch.
    """
    yield from unshared_batch("data.batch_size", data.get("batch_size"), launch)
    yield from unknown_modules(modules, trainer)
    yield from unknown_metric(metrics, trainer)
    yield from long_warm_up(optimization, trainer)


def unshared_batch(key_path: str, batch_size: int | None, launch: Node | None) -> Iterator[Problem]:
    """Yield the error of a global batch, set at ``key_path``, that a fixed number of processes cannot share evenly."""
    count = fixed_processes(launch)
    if batch_size is not None and count is not None and (message := uneven_share(batch_size, count)):
        yield key_path, f"{message}, or another number in launch.processes (of torchrun, where that starts them)"


def unknown_modules(modules: Sequence[str], trainer: Node | None) -> Iterator[Problem]:
    """Yield the errors of modules that ``trainer.ema`` or ``trainer.clip_modules`` name and the task lacks."""
    averaged = enumerate(((trainer or {}).get("ema") or {}).get("modules") or [])
    named = [(f"trainer.ema.modules.{number}", name) for number, name in averaged]
    named += [(f"trainer.clip_modules.{name}", name) for name in (trainer or {}).get("clip_modules") or {}]
    for key_path, name in named:
        if name not in modules:
            message = f"found '{name}', expected a module of the task, {' or '.join(modules)}{closest(name, modules)}"
            yield key_path, message


def unknown_metric(metrics: Sequence[str], trainer: Node | None) -> Iterator[Problem]:
    """Yield the error of a ``trainer.best_by`` that the task's evaluation does not give, or where less is better."""
    name = (trainer or {}).get("best_by")
    if name is not None and name not in metrics:
        expected = f"one of {', '.join(metrics)}, or null for the task's choice{closest(name, metrics)}"
        yield "trainer.best_by", f"found '{name}', expected {expected}"


def long_warm_up(optimization: Node | None, trainer: Node | None) -> Iterator[Problem]:
    """Yield the error of a warm-up that ``trainer.max_steps`` ends; the cosine schedule shortens its own."""
    schedule = (optimization or {}).get("schedule") or {}
    steps, most = schedule.get("warmup_steps", 0), (trainer or {}).get("max_steps")
    if most is not None and steps >= most and schedule.get("type") != "engine.schedules.cosine":
        message = f"found {steps}, expected less than trainer.max_steps, {most}: the learning rate would only ever rise"
        yield "optimization.schedule.warmup_steps", message
