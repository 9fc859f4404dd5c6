"""A step without a trainer and a task without a training, for tests that call one or the other directly."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class FakeStep:
    """What :class:`engine.task.Step` asks for; it updates nothing and keeps what it was given.

    Attributes:
        seed: of ``generator``.
        index, epoch, wants_images: as of a Step.
        losses: what each optimiser was to minimise last.
        shown: images by name.
        values: numbers whose distribution is shown, by name.
        settled: inputs of modules, by name, for the statistics of their averages.
    """

    seed: int = 0
    index: int = 0
    epoch: int = 0
    wants_images: bool = False
    losses: dict[str, Tensor] = field(default_factory=dict)
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    settled: dict[str, tuple] = field(default_factory=dict)

    def __post_init__(self):
        self.generator = torch.Generator().manual_seed(self.seed)

    def update(self, name, loss, retain_graph=False, parts=None, into=()):
        self.losses[name] = loss
        for tensor, found in zip(into, torch.autograd.grad(loss, into, retain_graph=True) if into else (), strict=True):
            tensor.grad = found

    def accumulate(self, name, loss, parts=None):
        self.losses[name] = loss

    def settle(self, name, *inputs):
        self.settled[name] = inputs

    def show(self, name, image):
        self.shown[name] = image

    def show_values(self, name, values):
        self.values[name] = values


@dataclass
class FakeTask:
    """Modules by name, which is all that :mod:`engine.init_from` asks of a task."""

    modules: dict[str, nn.Module]
