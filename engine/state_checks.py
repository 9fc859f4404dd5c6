"""Checks of a checkpoint's values against the living training: its counters, weights, optimisers and schedules.

Of another config is what has other names or shapes than this training; that is for restoring to say. Here is refused
what has the names of this training and values that it cannot have written.
"""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

OF_GROUPS = ("base_lrs", "_last_lr")  # lists of a schedule with a number for each group of its optimiser
NUMBERS = ("step", "mu_product", "mu", "eta")  # states of torch's optimisers that are one number for a weight
OTHER_SHAPES = ("row_var", "col_var")  # states of Adafactor; all others are shaped as the weights


def count_problems(state: Mapping[str, Any], steps_per_epoch: int | None) -> Iterator[str]:
    """Yield messages about counts that contradict each other; ``steps_per_epoch`` is None where it may have changed."""
    step, epoch, batch = state["step"], state["epoch"], state["batch"]
    for name, count in (("batch", batch), ("epoch", epoch)):
        if count > step:
            yield f"its {name} is {count}, expected at most its step, {step}"
    if steps_per_epoch is None:
        return
    if batch > steps_per_epoch:
        yield f"its batch is {batch}, expected at most {steps_per_epoch}, the batches of an epoch"
    if step > (epoch + 1) * steps_per_epoch:
        yield f"its step is {step}, expected at most {steps_per_epoch} in each epoch, of which {epoch} are done"


def module_problems(saved: Mapping[str, Any], module: nn.Module) -> Iterator[str]:
    """Yield messages about tensors of another kind than the module's, and about weights that are no numbers."""
    weights = dict(module.named_parameters())
    for name, own in module.state_dict().items():
        if name not in saved or not isinstance(own, Tensor):
            continue
        value = saved[name]
        if not isinstance(value, Tensor) or _kind(value) != _kind(own) or value.layout != own.layout:
            yield f"'{name}' is {_shown(value)}, expected a tensor of {_kind(own)}"
        elif name in weights and not bool(torch.isfinite(value).all()):
            yield f"'{name}' has values that are not finite"
        elif bool(torch.isnan(value).any()):
            yield f"'{name}' has values that are NaN"


def optimizer_problems(saved: Mapping[str, Any], optimizer: Optimizer) -> Iterator[str]:
    """Yield messages about groups or states that the optimiser cannot go on with."""
    groups, states = saved.get("param_groups"), saved.get("state")
    if not isinstance(groups, list) or not all(map(_is_group, groups)):
        yield f"its param_groups is {_shown(groups)}, expected a list of groups with params"
        return
    if not isinstance(states, Mapping):
        yield f"its state is {_shown(states)}, expected states by number"
        return
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    if [len(group["params"]) for group in groups] != sizes:
        return
    for group, own in zip(groups, optimizer.param_groups, strict=True):
        yield from _group_problems(group, own, optimizer)
    yield from _state_problems(groups, states, optimizer)


def _state_problems(groups: list[Mapping[str, Any]], states: Mapping[Any, Any], optimizer: Optimizer) -> Iterator[str]:
    numbers = [number for group in groups for number in group["params"]]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    by_number = dict(zip(numbers, weights, strict=True))
    expected = dict(zip(numbers, _state_names(groups, optimizer), strict=True))
    for number, state in states.items():
        if number not in by_number or not isinstance(state, Mapping):
            yield f"its state {_shown(number)} is {_shown(state)}, expected values by name of one of its weights"
            continue
        if missing := expected[number] - state.keys():
            yield f"its state of weight {number} has no {', '.join(sorted(missing))}"
        for name, value in state.items():
            if not _fits_weight(name, value, by_number[number]):
                shape = list(by_number[number].shape)
                yield f"its {name} of weight {number} is {_shown(value)}, expected finite values for a shape of {shape}"


def _is_group(group: Any) -> bool:
    numbers = group.get("params") if isinstance(group, Mapping) else None
    return isinstance(numbers, list) and all(type(number) is int for number in numbers)


def _group_problems(group: Mapping[str, Any], own: Mapping[str, Any], optimizer: Optimizer) -> Iterator[str]:
    filled = dict(group)
    blank = object.__new__(type(optimizer))  # as unpickling does, which adds what earlier versions of torch lacked
    try:
        blank.__setstate__({"state": {}, "param_groups": [filled], "defaults": dict(optimizer.defaults)})
    except Exception as error:  # whatever a value of any kind makes it raise
        yield f"its group cannot be read ({error})"
        return
    for name, expected in own.items():
        if name == "params":
            continue
        if name not in filled:
            yield f"its group has no {name}"
        elif not _alike(filled[name], expected):
            yield f"its {name} is {_shown(filled[name])}, expected a value such as {_shown(expected)}"
        elif name == "lr" and filled[name] < 0:
            yield f"its lr is {_shown(filled[name])}, expected a number from 0"


def _state_names(groups: list[Mapping[str, Any]], optimizer: Optimizer) -> Iterator[set[str]]:
    """Yield for each weight the names of the state that a first step of its group gives it, tried on a single number.

    Where that cannot be tried, such as on a CPU what is made for GPUs, no names.
    """
    taken = inspect.signature(type(optimizer)).parameters
    for group, own in zip(groups, optimizer.param_groups, strict=True):
        options = {name: group.get(name, own[name]) for name in own if name in taken and name != "params"}
        found: dict[int, set[str]] = {}
        for weight in own["params"]:
            if weight.ndim not in found:
                found[weight.ndim] = _tried(type(optimizer), options, weight.ndim)
            yield found[weight.ndim]


def _tried(kind: type[Optimizer], options: dict[str, Any], ndim: int) -> set[str]:
    weight = nn.Parameter(torch.zeros([1] * ndim))
    weight.grad = torch.zeros_like(weight)
    try:
        trial = kind([weight], **options)
        trial.step()
    except Exception:  # whatever options of other devices make it raise
        return set()
    return {name for name, value in trial.state[weight].items() if value is not None}


def _fits_weight(name: str, value: Any, weight: Tensor) -> bool:
    """Return whether a value of an optimiser's state is none, a finite number, or finite numbers for a weight."""
    if not isinstance(value, Tensor):
        return value is None or (isinstance(value, Real) and math.isfinite(value) and (name != "step" or value >= 0))
    if value.is_complex() and not weight.is_complex():
        return False
    if name == "step" and (value < 0).any():
        return False
    shaped = value.numel() == 1 if name in NUMBERS else value.shape == weight.shape or name in OTHER_SHAPES
    return shaped and bool(torch.isfinite(value).all())


def schedule_problems(saved: Mapping[str, Any], scheduler: LRScheduler, step: int) -> Iterator[str]:
    """Yield messages about counters and rates that the schedule cannot go on from; ``step`` is the training's."""
    groups = len(scheduler.optimizer.param_groups)
    if "last_epoch" not in saved:
        yield "it has no last_epoch"
    for name, own in scheduler.state_dict().items():
        if name not in saved:
            continue
        value = saved[name]
        if name in ("last_epoch", "_step_count"):
            most = step + 1
            if type(value) is not int or not 0 <= value <= most:
                yield f"its {name} is {_shown(value)}, expected a whole number from 0 to {most}"
        elif name in OF_GROUPS:
            if not isinstance(value, list) or len(value) != groups or not all(_alike(rate, 0.0) for rate in value):
                yield f"its {name} is {_shown(value)}, expected {groups} finite numbers"
        elif not _alike(value, own):
            yield f"its {name} is {_shown(value)}, expected a value such as {_shown(own)}"


def plain_problems(saved: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    """Yield messages about values that are not of the kind that the same name has here."""
    for name, expected in own.items():
        if name in saved and not _alike(saved[name], expected):
            yield f"its {name} is {_shown(saved[name])}, expected a value such as {_shown(expected)}"


def _alike(value: Any, own: Any) -> bool:
    """Return whether a plain value is of the kind of another, and finite; where that is None, anything may be there."""
    if own is None:
        return True
    if isinstance(own, bool):
        return value is None or isinstance(value, bool)
    if isinstance(own, Real | Tensor):
        if isinstance(value, Tensor):
            return value.numel() == 1 and not value.is_complex() and bool(torch.isfinite(value).all())
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(own, Mapping):
        return isinstance(value, Mapping) and all(_alike(value[name], own[name]) for name in value.keys() & own.keys())
    if isinstance(own, str):
        return isinstance(value, str)
    if isinstance(own, tuple):
        return isinstance(value, Sequence) and len(value) == len(own) and all(map(_alike, value, own))
    if isinstance(own, list):
        return isinstance(value, list) and (not own or all(_alike(one, own[0]) for one in value))
    return type(value) is type(own)


def _kind(tensor: Tensor) -> str:
    if tensor.is_complex():
        return "complex numbers"
    if tensor.dtype == torch.bool:
        return "truth values"
    return "floating-point numbers" if tensor.is_floating_point() else "whole numbers"


def _shown(value: Any) -> str:
    if isinstance(value, Tensor) and value.numel() != 1:
        return f"a tensor of {_kind(value)} of shape {list(value.shape)}"
    return ascii(value)[:60]
