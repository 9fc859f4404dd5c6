"""Try the constructors that cost nothing, so that what they refuse stands among the faults of the check.

Groups of plain values (dataclasses) are made, optimisers get one number to optimise, and networks are made on torch's
``meta`` device, without memory and without their weight files. Everything else is built when its turn comes.
"""

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from config.build import build_call
from config.types import bare_arms, parameters
from engine.errors import UserError


def trial_fault(target: Callable[..., Any], values: dict[str, Any], offered: tuple[str, ...]) -> str | None:
    """Make what a node or group names, where that is cheap.

    Args:
        target: what it names.
        values: its keywords without fault; a default stands in for a faulty one.
        offered: keywords that the program will give.

    Returns:
        What the constructor says against the values, or None.
    """
    if not inspect.isclass(target) or any(_holds_node(value) for value in values.values()):
        return None
    injected: dict[str, Any] = {}
    if issubclass(target, Optimizer):
        injected = {"params": [nn.Parameter(torch.zeros(1))]}
    elif issubclass(target, nn.Module):
        values = {
            key: value for key, value in values.items() if Path not in bare_arms(parameters(target)[key].annotation)
        }
    elif not dataclasses.is_dataclass(target):
        return None
    needed = {name for name, parameter in parameters(target).items() if parameter.required}
    if not needed <= values.keys() | injected.keys() or (set(offered) & needed) - injected.keys():
        return None
    return _refusal(target, values, injected)


def refused_key(target: Callable[..., Any], values: dict[str, Any], offered: tuple[str, ...]) -> str | None:
    """Find the one keyword that an optimiser refuses.

    Args:
        target: what the node names.
        values: its keywords, which :func:`trial_fault` found refused.
        offered: keywords that the program will give.

    Returns:
        The only keyword whose default in its place cures the fault; None where there is no such, or several.
    """
    if not inspect.isclass(target) or not issubclass(target, Optimizer):
        return None
    declared = parameters(target)
    cures = [
        key
        for key in values
        if not declared[key].required
        and trial_fault(target, {name: value for name, value in values.items() if name != key}, offered) is None
    ]
    return cures[0] if len(cures) == 1 else None


def _refusal(target: Callable[..., Any], values: dict[str, Any], injected: dict[str, Any]) -> str | None:
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            build_call(target, values, "", injected, own_errors=True)
    except (ValueError, UserError) as error:
        return str(error)
    except Exception:  # whatever else a trial without memory and files stumbles over is no fault of the config
        return None
    return None


def _holds_node(value: Any) -> bool:
    """Whether a call stands anywhere in a value; it may cost much to build."""
    if isinstance(value, dict):
        return "type" in value or any(_holds_node(item) for item in value.values())
    return isinstance(value, list) and any(_holds_node(item) for item in value)
