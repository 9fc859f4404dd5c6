"""Exponential moving averages of a task's weights, which evaluation uses instead."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common.errors import UserError
from engine.settings import EmaSettings

SETTLE_EVERY = 10  # steps


class Average(AveragedModel):
    """The average of a module's weights; the buffers are the module's newest ones, or its own.

    Args:
        module: what is averaged.
        decay: weight of the old average in each step.
        settles: running statistics of batch norms are the average's own, made by :meth:`settle`.
    """

    def __init__(self, module: nn.Module, decay: float, settles: bool) -> None:
        super().__init__(module, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.norms = [part for part in self.module.modules() if isinstance(part, _BatchNorm)] if settles else []

    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards a module."""
        own = [buffer for norm in self.norms for buffer in norm.buffers()]
        kept = [buffer.clone() for buffer in own]
        super().update_parameters(model)
        for buffer, value in zip(own, kept, strict=True):
            buffer.copy_(value)

    @torch.no_grad()
    def settle(self, *inputs: object) -> None:
        """Run on inputs of a training step, such that the running statistics of batch norms fit the averaged weights.

        Only batch norms are in training mode; without any, nothing is run.
        """
        if not self.norms:
            return
        self.module.eval()
        for norm in self.norms:
            norm.train()
        self.module(*inputs)


def start_averages(
    modules: Mapping[str, nn.Module], ema: EmaSettings | None, settles: Collection[str] = ()
) -> dict[str, Average]:
    """Begin the averages of the modules that ``ema`` names, all by default, at the present weights.

    ``settles`` names the modules for which the task calls ``step.settle``.
    """
    if ema is None:
        return {}
    names = ema.modules or list(modules)
    unknown = [name for name in names if name not in modules]
    if unknown:
        raise UserError(f"trainer.ema.modules: found {unknown}, expected some of this task's modules {list(modules)}")
    own = set(settles) if ema.statistics == "own" else set()
    return {name: Average(modules[name], ema.decay, name in own) for name in names}


@contextmanager
def averaged_weights(modules: Mapping[str, nn.Module], averages: Mapping[str, Average]) -> Iterator[None]:
    """Exchange the modules' weights and buffers for their averages', where they have some, and back at the end."""
    _exchange(modules, averages)
    try:
        yield
    finally:
        _exchange(modules, averages)


def _exchange(modules: Mapping[str, nn.Module], averages: Mapping[str, Average]) -> None:
    for name, average in averages.items():
        both = zip(_tensors(modules[name]), _tensors(average.module), strict=True)
        for live, mean in both:
            live.data, mean.data = mean.data, live.data


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()
