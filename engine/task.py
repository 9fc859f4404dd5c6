"""The trainer's view of a task, and a task's view of a step. Protocols: nothing is inherited."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.context import Context
from engine.run_folder import RunFolder


class Step(Protocol):
    """A task's view of one optimisation step."""

    index: int  # optimisation steps done before this one
    epoch: int  # 0-based
    generator: torch.Generator  # CPU generator that depends on the seed and ``index`` only, the same on every rank
    wants_images: bool  # whether TensorBoard shows images of this step; on rank 0 alone

    def update(
        self,
        name: str,
        loss: Tensor,
        retain_graph: bool = False,
        parts: dict[str, Tensor] | None = None,
        into: Sequence[Tensor] = (),
    ) -> None:
        """Minimise ``loss`` by one step of the optimiser ``name``; ``parts`` are named when it is not finite.

        ``retain_graph`` keeps the graph for a further update. ``into`` are tensors whose ``.grad`` becomes the loss's
        gradient too, for networks behind them that another optimiser trains.
        """

    def accumulate(self, name: str, loss: Tensor, parts: dict[str, Tensor] | None = None) -> None:
        """Add the gradients of a part of the loss, on images that memory has no room for at once, to the next update.

        Losses of parts are divided by their number, so that their sum is that of all images.
        """

    def settle(self, name: str, *inputs: Any) -> None:
        """Let the average of the module ``name``, where there is one, take statistics on its inputs of this step.

        Only for modules that the task names in ``settles``; it does so every tenth step.
        """

    def show(self, name: str, image: np.ndarray) -> None:
        """Show an image (H, W, 3) uint8 under a heading in TensorBoard, where ``wants_images``."""

    def show_values(self, name: str, values: Tensor) -> None:
        """Show how numbers are distributed under a heading in TensorBoard, where ``wants_images``."""


class Example(NamedTuple):
    """One sample for TensorBoard: image (H, W, 3) uint8 or None, waveform (n,) at 16 kHz or None, caption."""

    image: np.ndarray | None
    waveform: np.ndarray | None
    text: str


class Task(Protocol):
    """One training job: built parts, one step, one evaluation.

    A task that evaluates on files has a method ``look_at_held_out()`` besides, which reads them before a training and
    raises a UserError where one cannot be read.
    """

    # every network, by name; checkpoints walk this dict. ``module_names`` of the class, where it has them, are the
    # names that there can be
    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]  # by the name that ``step.update`` takes
    # modules with batch norms that ``step.settle`` is called for; a task without any need not have it
    settles: tuple[str, ...]
    schedulers: dict[str, LRScheduler]  # learning-rate schedules by name, stepped once per optimisation step
    # the key of ``evaluate``'s result that chooses ``best.pt`` unless ``trainer.best_by`` names another, larger is
    # better. ``metrics`` of the class, where it has them, are those that it may name
    metric: str
    # the keys that the console line of an evaluation shows, or what it calls each of them
    shown_metrics: tuple[str, ...] | Mapping[str, str]
    batch_size: int  # samples in a global batch
    steps_per_epoch: int  # optimisation steps in an epoch

    def begin_epoch(self, epoch: int) -> None:
        """Prepare an epoch (0-based): modes, curricula."""

    def batches(self, epoch: int, start: int) -> Iterable[Any]:
        """Return this rank's batches of an epoch (0-based) from position ``start`` on, past those of a resumed run."""

    def train_step(self, batch: Any, step: Step) -> dict[str, Tensor | float]:
        """Run the networks, call ``step.update``, return scalars to log by name."""

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Return metrics over the validation set, or over its first ``limit`` batches; the same on every rank."""

    def examples(self) -> list[Example]:
        """Return a few samples to show in TensorBoard at the start."""

    def learns_from(self) -> dict[str, str]:
        """Return number and digest of what is learned from, by name such as ``training set``.

        Checkpoints keep it, so that a run does not go on with other data unasked; "validation set" and "test set" and
        the files of these may change. A task that draws its own data need not have this method.
        """

    def report(self, folder: RunFolder, context: Context) -> dict[str, float]:
        """Evaluate in full on the held-out set, write report and tables (rank 0), return the metrics by name."""
