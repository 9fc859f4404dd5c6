"""What trainings of system 5 ask of a batch: noise that does not depend on the ranks, and another row to be wrong."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from common import distributed
from config import Problem
from engine.task import Step


def draw_rows(
    count: int, shape: tuple[int, ...], step: Step, draw: Callable[..., Tensor], device: torch.device
) -> Tensor:
    """Draw numbers (count, *shape) of this rank's rows, the same whatever the number of ranks."""
    everyones = draw(count * distributed.world_size(), *shape, generator=step.generator)
    return everyones[distributed.rank() * count :][:count].to(device)


def few_rows(size: int | None, why: str) -> Iterator[Problem]:
    """Yield the error of batches without a wrong pair."""
    if isinstance(size, int) and size < 2:
        yield "data.batch_size", f"found {size}, expected at least 2: {why}"
