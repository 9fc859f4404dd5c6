"""One group of a config: an optimiser and its learning-rate schedule."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from common.errors import UserError
from config import Deferred, Problem, resolve_type
from config.signatures import parameters

log = logging.getLogger(__name__)


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

    @staticmethod
    def validate(optimizer: dict[str, Any], schedule: dict[str, Any] | None) -> Iterator[Problem]:
        """Yield the errors of a schedule that cannot go with its optimiser."""
        if not schedule or "type" not in optimizer:
            return
        own = parameters(resolve_type(optimizer["type"]))
        if schedule.get("cycle_momentum") and not {"momentum", "betas"} & own.keys():
            yield (
                "schedule.cycle_momentum",
                f"found true, expected false: {optimizer['type']} has neither momentum nor betas",
            )
        lowest, rate = schedule.get("eta_min", 0.0), optimizer.get("lr", own["lr"].default if "lr" in own else None)
        if rate is not None and lowest > rate:
            yield "schedule.eta_min", f"found {lowest}, expected at most the learning rate, {rate}"

    def start(
        self, modules: Iterable[nn.Module], steps_per_epoch: int, length: Length
    ) -> tuple[Optimizer, LRScheduler | None]:
        """Make the optimiser of the modules' trainable parameters, and its schedule, None for a constant rate.

        A UserError says that there is no such schedule for the length of the training.
        """
        trainable = [p for module in modules for p in module.parameters() if p.requires_grad]
        optimizer = self.optimizer(params=trainable)
        if self.schedule is None:
            _warn_of_no_rate(optimizer, None)
            return optimizer, None
        total = length.steps(steps_per_epoch)
        given = {"steps_per_epoch": steps_per_epoch, "total_steps": total}
        try:
            self._try_steps(given, total)
            schedule = self.schedule(optimizer=optimizer, **given)
            _warn_of_no_rate(optimizer, schedule)
            return optimizer, schedule
        except ArithmeticError as error:  # OneCycleLR whose rise is one step
            raise UserError(
                f"the schedule cannot be made for a training of {total} steps ({error}); train longer, or change the "
                "schedule's shares"
            ) from error

    def _try_steps(self, given: dict[str, int], total: int) -> None:
        """Ask a schedule, of an optimiser of its own, for the first, a middle and the last step; raise what it does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps left out
            schedule = self.schedule(optimizer=self.optimizer(params=[nn.Parameter(torch.zeros(1))]), **given)
            for step in (1, total // 2, total):
                schedule.last_epoch = max(step, 1) - 1
                schedule.step()


def _warn_of_no_rate(optimizer: Optimizer, schedule: LRScheduler | None) -> None:
    """Warn of an optimiser whose learning rate is 0 and stays so."""
    rates = [
        rate for group in optimizer.param_groups for rate in (group.get("initial_lr", group["lr"]), group.get("max_lr"))
    ]
    if not any([*rates, *getattr(schedule, "max_lrs", [])]):
        log.warning("optimizer.lr is 0, so nothing is learned; give a learning rate such as 1.0e-3")
