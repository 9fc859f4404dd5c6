"""Numbers with the limits that a reader of a config expects; for annotations of what configs name.

Limits that belong to one class only stand in its own annotations. A number without an upper limit there may be at most
:data:`MOST`: no count or weight of a config is larger, and a larger one is a slip.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

MOST = 1e9

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(gt=0)]
CountOrZero = Annotated[int, Field(ge=0)]
"""A count that may be 0."""
BatchSize = Annotated[int, Field(gt=0, le=100_000)]
Workers = Annotated[int, Field(ge=0, le=256)]
"""Processes beside the training's own; each has its copy of the program."""
Processes = Annotated[int, Field(gt=0, le=256)]
Threads = Annotated[int, Field(gt=0, le=512)]
Megabytes = Annotated[int, Field(gt=0, le=10**7)]
Resolution = Annotated[int, Field(gt=0, le=8192)]
"""Rows and columns of an image or map, pixels."""
Frames = Annotated[int, Field(gt=0, le=10**7)]
"""Frames of speech, usually 100 a second."""
Width = Annotated[int, Field(gt=0, le=2**16)]
"""Channels, features, codes or dimensions of a layer."""
Depth = Annotated[int, Field(gt=0, le=256)]
"""Layers or blocks in a row."""
Kernel = Annotated[int, Field(gt=0, le=1025)]
Chance = Annotated[float, Field(ge=0, le=1)]
"""A probability, or a share of a whole."""
Weight = Annotated[float, Field(ge=0)]
"""A factor of a loss or term, or a margin."""
Positive = Annotated[float, Field(gt=0)]

_Decay = Annotated[float, Field(ge=0, lt=1)]
_Rate = Annotated[float, Field(ge=0, le=100)]
_Rates = _Rate | Annotated[list[_Rate], Field(min_length=1)]
_Share = Annotated[float, Field(gt=0, le=1)]
TORCH_OPTIM: dict[str, Any] = {
    "lr": _Rate,
    "weight_decay": _Rate,
    "momentum": _Decay,
    "betas": tuple[_Decay, _Decay],
    "rho": _Decay,
    "eps": Annotated[float, Field(ge=0, le=1)],
    "dampening": Chance,
    "momentum_decay": Chance,
    "lr_decay": Annotated[float, Field(ge=0)],
    "initial_accumulator_value": Weight,
    "foreach": bool | None,
    "fused": bool | None,
    "capturable": Literal[False],  # for CUDA graphs, which the trainer does not make
    "differentiable": Literal[False],
    "Adafactor.eps": tuple[_Share | None, _Share],
    "Adafactor.beta2_decay": Annotated[float, Field(ge=-1, le=0)],
    "Adafactor.d": Annotated[float, Field(ge=1)],
    "ASGD.lambd": Chance,
    "ASGD.alpha": Chance,
    "ASGD.t0": Weight,
    "RMSprop.alpha": _Decay,
    "Rprop.etas": tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1, le=10)]],
    "Rprop.step_sizes": tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(gt=0, le=100)]],
    "last_epoch": Literal[-1],  # a resumed run restores its schedule itself
    "gamma": _Share,  # a learning rate that grows without end ends in NaN
    "step_size": Count,
    "milestones": Annotated[list[Count], Field(min_length=1)],
    "total_iters": Count,
    "factor": _Share,
    "start_factor": _Share,
    "end_factor": Chance,
    "power": Annotated[float, Field(gt=0, le=100)],
    "T_max": Count,
    "T_0": Count,
    "T_mult": Annotated[int, Field(ge=1, le=100)],
    "eta_min": _Rate,
    "base_lr": _Rates,
    "max_lr": _Rates,
    "swa_lr": _Rates,
    "anneal_epochs": CountOrZero,
    "anneal_strategy": Literal["cos", "linear"],
    "step_size_up": Count,
    "step_size_down": Count | None,
    "scale_fn": type(None),
    "base_momentum": _Decay,
    "max_momentum": _Decay,
    "epochs": Count | None,
    "patience": CountOrZero,
    "threshold": Weight,
    "cooldown": CountOrZero,
    "min_lr": _Rates,
    "ns_steps": Annotated[int, Field(ge=1, le=100)],
    "pct_start": Annotated[float, Field(ge=0, lt=1)],  # at 1 torch divides by zero, in the last step
    "div_factor": Positive,
    "final_div_factor": Positive,
}
"""Annotations of keywords of ``torch.optim`` that torch checks in its constructors only, or not at all.

A keyword that means another thing in one class stands behind that class's name.
"""


_FACTORS = "takes a function, which no config holds; choose engine.schedules.constant, torch.optim.lr_scheduler.StepLR"
_SEVERAL = (
    "joins schedules that are made in code; choose engine.schedules.cosine with warmup_steps, or one schedule alone"
)
_DENSE = "choose torch.optim.AdamW or torch.optim.SGD"
UNUSABLE = {
    "LambdaLR": f"{_FACTORS} or MultiStepLR",
    "MultiplicativeLR": f"{_FACTORS} or ExponentialLR",
    "ReduceLROnPlateau": "waits for a metric, but schedules go on after every step; choose engine.schedules.cosine, "
    "torch.optim.lr_scheduler.StepLR or MultiStepLR",
    "SequentialLR": _SEVERAL,
    "ChainedScheduler": _SEVERAL,
    "LBFGS": f"computes the loss several times a step, which no task does; {_DENSE}",
    "SparseAdam": f"is for sparse gradients, which no network here has; {_DENSE}",
    "Muon": f"is for matrices alone, but networks have biases and convolutions too; {_DENSE}",
    "Optimizer": f"is the base of all optimisers; {_DENSE}",
    "LRScheduler": "is the base of all schedules; choose engine.schedules.cosine or torch.optim.lr_scheduler.StepLR",
}
"""Classes of ``torch.optim`` that no training here can use: why, and what to choose."""


def unusable(module: str, class_name: str) -> str | None:
    """Return why a class of a module of ``torch.optim`` cannot be used, and what to choose; None for the others."""
    return UNUSABLE.get(class_name) if f"{module}.".startswith("torch.optim.") else None


def of_torch_optim(class_name: str, keyword: str) -> Any:
    """Return the annotation here of a keyword of a class of ``torch.optim``; None where torch's own is enough."""
    return TORCH_OPTIM.get(f"{class_name}.{keyword}", TORCH_OPTIM.get(keyword))


_ORDERED = (("base_lr", "max_lr"), ("base_momentum", "max_momentum"))


def order_errors(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the errors of ranges among keywords of ``torch.optim`` whose lower end lies above the upper one."""
    for low, high in _ORDERED:
        pairs = zip(_each(values.get(low)), _each(values.get(high)), strict=False)
        if any(one > other for one, other in pairs):
            yield low, f"found {values[low]}, expected at most {high}, {values[high]}"
    least, most = values.get("step_sizes", (0, 0))
    if least > most:
        yield "step_sizes", f"found {least}, {most}, expected the smallest step first"


def _each(value: Any) -> list[float]:
    return value if isinstance(value, list) else [] if value is None else [value]
