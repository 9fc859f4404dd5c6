"""Exponential moving averages of a task's weights, which evaluation uses instead."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common.errors import UserError
from engine.settings import EmaSettings


def start_averages(modules: Mapping[str, nn.Module], ema: EmaSettings | None) -> dict[str, AveragedModel]:
    """Begin the averages of the modules that ``ema`` names, all by default, at the present weights."""
    if ema is None:
        return {}
    names = ema.modules or list(modules)
    unknown = [name for name in names if name not in modules]
    if unknown:
        raise UserError(f"trainer.ema.modules: found {unknown}, expected some of this task's modules {list(modules)}")
    average = get_ema_multi_avg_fn(ema.decay)
    return {name: AveragedModel(modules[name], multi_avg_fn=average) for name in names}


@contextmanager
def averaged_weights(modules: Mapping[str, nn.Module], averages: Mapping[str, AveragedModel]) -> Iterator[None]:
    """Exchange the modules' weights for their averages, where they have some, and back at the end."""
    _exchange(modules, averages)
    try:
        yield
    finally:
        _exchange(modules, averages)


def _exchange(modules: Mapping[str, nn.Module], averages: Mapping[str, AveragedModel]) -> None:
    for name, average in averages.items():
        for live, mean in zip(modules[name].parameters(), average.module.parameters(), strict=True):
            live.data, mean.data = mean.data, live.data
