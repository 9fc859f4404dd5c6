"""One group of a config: an optimiser and its learning-rate schedule."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from config import Deferred


@dataclass(frozen=True)
class Length:
    """Planned length of a training, for schedules that end with it: ``epochs``, less where ``max_steps`` end first."""

    epochs: int
    max_steps: int | None = None

    def steps(self, steps_per_epoch: int) -> int:
        """Return the optimisation steps of the whole training."""
        planned = self.epochs * steps_per_epoch
        return planned if self.max_steps is None else min(planned, self.max_steps)


@dataclass
class Optimization:
    """An optimiser and how its learning rate goes.

    Attributes:
        optimizer: of the parameters that it is given.
        schedule: of the learning rate; constant when None.
    """

    optimizer: Annotated[Callable[..., Optimizer], Deferred("params")]
    schedule: Annotated[Callable[..., LRScheduler], Deferred("optimizer", "steps_per_epoch", "total_steps")] | None = (
        None
    )

    def start(
        self, modules: Iterable[nn.Module], steps_per_epoch: int, length: Length
    ) -> tuple[Optimizer, LRScheduler | None]:
        """Make the optimiser of the modules' trainable parameters, and its schedule, None for a constant rate."""
        trainable = [p for module in modules for p in module.parameters() if p.requires_grad]
        optimizer = self.optimizer(params=trainable)
        if self.schedule is None:
            return optimizer, None
        total = length.steps(steps_per_epoch)
        return optimizer, self.schedule(optimizer=optimizer, steps_per_epoch=steps_per_epoch, total_steps=total)
