"""Trial of the constructors that cost nothing: their errors stand among those of the check.

Groups of plain values (dataclasses) are made; networks are made on torch's ``meta`` device, without memory and without
their weight files; optimisers and schedules make one step. Everything else is built when its turn comes.

None of this may import torch's compiler, which takes longer than the whole check: optimisers are tried without the
wrappers that import it, and networks without the random numbers whose imitation on ``meta`` needs it.
"""

import dataclasses
import inspect
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.overrides import TorchFunctionMode

from common.errors import UserError
from config.build import build_call
from config.resolve import resolve_type
from config.signatures import fits, kind_of, parameters

MOST_NUMBERS = 2**35  # of a network: 128 GiB of float32


def trial_error(target: Callable[..., Any], values: dict[str, Any], offered: tuple[str, ...]) -> str | None:
    """Make what a node or group names, where that is cheap; return what its constructor says against the values.

    ``values`` are its keywords without error (a default stands in for a faulty one), ``offered`` those of the program.
    """
    declared = parameters(target)
    cheap = _is_cheap(target) or fits(target, [Optimizer, LRScheduler])
    if not cheap or not all(map(_builds_cheaply, values.values())):
        return None
    if _is_network(target):
        values = {key: value for key, value in values.items() if Path not in kind_of(declared[key].annotation).members}
    stand_ins = tuple(name for name in STAND_INS if name in offered and name in declared)
    if not {name for name, parameter in declared.items() if parameter.required} <= {*values, *stand_ins}:
        return None
    if not all(_is_whole(declared[key].annotation, value) for key, value in values.items()):
        return None
    return _refusal(target, json.dumps(values), stand_ins)


def _parameters() -> list[nn.Parameter]:
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    return [parameter]


STAND_INS: dict[str, Callable[[], Any]] = {
    "params": _parameters,
    "optimizer": lambda: _uncompiled(SGD)(
        _parameters(), lr=0.1, momentum=0.9
    ),  # some schedules change the momentum too
    "steps_per_epoch": lambda: 100,
    "total_steps": lambda: 10**9,
    "vocab_size": lambda: 1000,
}
"""For what the program gives, by its name."""


@lru_cache(maxsize=64)
def _uncompiled(kind: type[Optimizer]) -> type[Optimizer]:
    """Return an optimiser class whose methods are those of ``kind`` without the wrappers for torch's compiler."""
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "step")}
    return type(kind.__name__, (kind,), bare | {"step": torch.no_grad()(bare["step"])})


SCALED = {Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.div, Tensor.__truediv__}


class _WithoutDraws(TorchFunctionMode):
    """Leaves tensors as they are where random numbers would be drawn into them or a number would scale them."""

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (Tensor.normal_, Tensor.uniform_) or getattr(function, "__module__", "") == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if function in SCALED and not isinstance(args[1], Tensor):
            return args[0]
        if function in (torch.randn, torch.rand):
            return torch.empty(*args, **{key: value for key, value in kwargs.items() if key != "generator"})
        return function(*args, **kwargs)


@lru_cache(maxsize=1024)
def _refusal(target: Callable[..., Any], values: str, given: tuple[str, ...]) -> str | None:
    """Try once what several nodes have in common; ``values`` are written as JSON, ``given`` names stand-ins."""
    stand_ins = {name: STAND_INS[name]() for name in given}
    try:
        with warnings.catch_warnings(), _imitated() if _is_network(target) else nullcontext():
            warnings.simplefilter("ignore")
            called = _uncompiled(target) if inspect.isclass(target) and issubclass(target, Optimizer) else target
            made = build_call(called, json.loads(values), "", stand_ins, own_errors=True)
            if isinstance(made, nn.Module):
                return _too_large(made)
            if isinstance(made, Optimizer | LRScheduler):
                stand_ins.get("optimizer", made).step()
                made.step()
    except (ValueError, UserError) as error:
        return str(error)
    except Exception as error:  # of what these values make torch or Python do
        reason = " ".join(str(error).split()).split(". ")[0][:300]
        return f"{target.__name__} cannot be used with these values: {type(error).__name__}: {reason}"
    return None


@contextmanager
def _imitated() -> Iterator[None]:
    """Make tensors without memory and without random numbers."""
    with torch.device("meta"), _WithoutDraws():
        yield


def _too_large(network: nn.Module) -> str | None:
    numbers = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    if numbers <= MOST_NUMBERS:
        return None
    return f"a {type(network).__name__} of this size has {numbers:.3g} numbers, expected at most {MOST_NUMBERS:.3g}"


def _builds_cheaply(value: Any) -> bool:
    """Return whether every call in a value is cheap."""
    if isinstance(value, list):
        return all(map(_builds_cheaply, value))
    if not isinstance(value, dict):
        return True
    return ("type" not in value or _is_cheap(resolve_type(value["type"]))) and all(map(_builds_cheaply, value.values()))


def _is_whole(annotation: Any, value: Any) -> bool:
    """Return whether a value has all that its calls need, of which a key with an error of its own was taken away."""
    if not isinstance(value, dict):
        return True
    kind = kind_of(annotation)
    target = resolve_type(value["type"]) if "type" in value else kind.group
    if target is None:
        return True
    declared = parameters(target)
    needed = {name for name, parameter in declared.items() if parameter.required} - {*kind.offered}
    return needed <= value.keys() and all(
        _is_whole(declared[key].annotation, item) for key, item in value.items() if key in declared
    )


def _is_cheap(target: Callable[..., Any]) -> bool:
    return _is_network(target) or (inspect.isclass(target) and dataclasses.is_dataclass(target))


def _is_network(target: Callable[..., Any]) -> bool:
    return inspect.isclass(target) and issubclass(target, nn.Module)
