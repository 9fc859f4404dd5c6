"""The one training loop: a task says what is learned, the Trainer says how it is run.

It owns the loop, mixed precision, clipping, schedules, budgets, evaluation, logging and the guard against losses that
are not finite; averages of weights and checkpoints have files of their own in engine/. Tasks with several optimisers
(GANs) call ``step.update`` once for each.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common import distributed
from common.errors import UserError
from engine import replicas, seeding
from engine.ema import SETTLE_EVERY, Average, averaged_weights, start_averages
from engine.logs import RunLog, Throughput, compact, progress, short_list
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from engine.signals import StopRequest
from engine.task import Task
from engine.training_state import Gradients, Position, Saver, TrainingState
from engine.update import NoGradient, NonFiniteLoss, Updater, pick_precision

log = logging.getLogger(__name__)
FEWEST_IDLE_STEPS = 20  # without a gradient, until a training that had one before is taken to have converged


class Stopped(UserError):
    """A training that a signal ended early, with a checkpoint; the message says how to go on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class _StepView:
    """The :class:`engine.task.Step` that tasks receive."""

    index: int
    epoch: int
    generator: torch.Generator
    updater: Updater
    averages: Mapping[str, Average]
    wants_images: bool = False
    norms: dict[str, float] = field(default_factory=dict)
    moved: dict[str, bool] = field(default_factory=dict)
    images: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)

    def update(
        self,
        name: str,
        loss: Tensor,
        retain_graph: bool = False,
        parts: dict[str, Tensor] | None = None,
        into: Sequence[Tensor] = (),
    ) -> None:
        norm = self.updater(name, loss, retain_graph, parts, into)
        self.norms[f"gradient_norm/{name}"] = norm
        self.moved[name] = self.moved.get(name, False) or norm != 0

    def accumulate(self, name: str, loss: Tensor, parts: dict[str, Tensor] | None = None) -> None:
        self.updater.accumulate(name, loss, parts)

    def settle(self, name: str, *inputs: Any) -> None:
        if name in self.averages and self.index % SETTLE_EVERY == 0:
            self.averages[name].settle(*inputs)

    def show(self, name: str, image: np.ndarray) -> None:
        self.images[name] = image

    def show_values(self, name: str, values: Tensor) -> None:
        self.values[name] = values.detach().float().cpu().numpy()


class Trainer:
    """Trains a task.

    Args:
        task: see :class:`engine.task.Task`; its modules are already on ``device``.
        settings: see :class:`engine.settings.TrainerSettings`.
        seed: of the per-step generators.
        device: this rank's device.
        folder: where checkpoints and logs go; None writes nothing.
        config_text: the resolved config, kept in every checkpoint.

    Attributes:
        at: position that it has reached, see :class:`engine.training_state.Position`.
        logged: what the steps since the last row of the log said, by name; checkpoints keep it, so that the rows of a
            resumed run are those of an uninterrupted one.
        gradients: whether each optimiser that was used so far still learns, by name; in checkpoints too.
        averages: moving averages of the modules' weights, by the modules' names.
        saver: writes checkpoints and goes on from them.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainerSettings,
        seed: int,
        device: torch.device,
        folder: RunFolder | None,
        config_text: str = "",
    ) -> None:
        self.task = task
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.updater = Updater(
            task.optimizers,
            pick_precision(settings.precision, device),
            device,
            settings.clip_norm,
            [(task.modules[name], longest) for name, longest in settings.clip_modules.items()],
        )
        replicas.broadcast_modules(task.modules.values())
        self.averages: dict[str, Average] = {}
        self.restart_averages()
        self.at = Position()
        self._shown: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = {}, {}  # of the last step: images, numbers
        self._said_idle: set[str] = set()  # optimisers without a gradient in the last epoch
        self.logged: dict[str, list[Tensor | float]] = {}
        self.gradients: dict[str, Gradients] = {}
        self._since = time.perf_counter()
        state = TrainingState(
            self.at, task, self.averages, self.updater, seed, config_text, self.logged, self.gradients
        )
        self.saver = Saver(state, folder, settings.checkpoint)
        if settings.compile:
            for module in task.modules.values():
                module.compile()

    def restart_averages(self) -> None:
        """Begin the moving averages at the present weights (after other weights were loaded)."""
        settles = getattr(self.task, "settles", ())
        self.averages.update(start_averages(self.task.modules, self.settings.ema, settles))

    # -- the loop ------------------------------------------------------------------------------------------------

    def fit(self) -> dict[str, float]:
        """Train to the end of the epochs or of a budget; return the metrics of the last evaluation.

        Raises:
            Stopped: a signal came; a checkpoint was written.
            NonFiniteLoss: names the step, the loss and the last good checkpoint.
            NoGradient: of one optimiser no step of the first epoch, or of a training that is shorter, had a gradient.
        """
        metrics: dict[str, float] = {}
        run_log = RunLog(self.folder, first_step=self.folder.first_new_step if self.at.step and self.folder else 0)
        if self.at.step == 0:
            for number, example in enumerate(self.task.examples()):
                run_log.example(f"example_{number}", 0, *example)
        self.saver.before_training()
        self._since = time.perf_counter()
        with StopRequest() as stop:
            while not self.finished:
                self._train_epoch(run_log, stop)
                if self._evaluation_due():
                    metrics = self._evaluate(run_log)
                self._count_time()
                self.saver.after_epoch(last=self.finished)
                if distributed.any_rank(stop.requested):
                    self._stop(stop)
        run_log.close()
        return metrics

    @property
    def finished(self) -> bool:
        """Return whether epochs or a budget are used up, or a training that has learned finds no gradient any more."""
        settings = self.settings
        out_of_steps = settings.max_steps is not None and self.at.step >= settings.max_steps
        if self.at.epoch >= settings.epochs or out_of_steps or self._nothing_left:
            return True
        if settings.max_minutes is None:
            return False
        return distributed.any_rank(self.at.seconds >= 60 * settings.max_minutes)

    def _count_time(self) -> None:
        """Add what passed since the last time: steps, waiting for data, evaluation, saving."""
        now = time.perf_counter()
        self.at.seconds, self._since = self.at.seconds + now - self._since, now

    def _evaluation_due(self) -> bool:
        in_between = self.at.batch == 0 and self.at.epoch % self.settings.evaluate_every_epochs
        return not in_between or self.finished

    def _train_epoch(self, run_log: RunLog, stop: StopRequest) -> None:
        """Train until the epoch's end or a budget's."""
        self.task.begin_epoch(self.at.epoch)
        self._train_mode(True)
        throughput = Throughput()
        batches = throughput.timed(self.task.batches(self.at.epoch, self.at.batch))
        epoch = self.at.epoch + 1
        what = f"epoch {epoch}/{self.settings.epochs}"
        for batch in progress(batches, self.task.steps_per_epoch, what, self.at.batch, None):
            for name, value in self.train_step(batch).items():
                self.logged.setdefault(name, []).append(value)
            run_log.images(self.at.step, *self._shown)
            throughput.samples += self.task.batch_size
            self._count_time()
            if self.at.step % self.settings.log_every_steps == 0:
                self._log(run_log, epoch, throughput)
            if self.finished:  # before the stop, which would leave the last evaluation out
                break
            if distributed.any_rank(stop.requested):
                self._stop(stop)
            self.saver.after_step()
        else:
            self.at.epoch, self.at.batch = self.at.epoch + 1, 0
        self._look_for_gradient(epoch)
        if self.logged and self.finished:  # the last steps, and all of a training shorter than log_every_steps
            self._log(run_log, epoch, throughput)
        self.logged.clear()

    def _look_for_gradient(self, epoch: int) -> None:
        """End a training in which an optimiser had no gradient at any step of a whole epoch, or of all that there were.

        One that never learned is a NoGradient. When all have learned before, the training ends as at the end of its
        epochs, with evaluation and report; an epoch of a few steps must repeat then, since sampled impostors may all be
        worse by luck. One of several goes on with the others, which may give it a gradient again.
        """
        never = [name for name, found in self.gradients.items() if found.idle and not found.learned]
        if never:
            what = "" if len(never) == len(self.gradients) else f" of '{never[0]}'"
            raise NoGradient(
                f"epoch {epoch}: the gradient{what} was 0 at each of the {self.gradients[never[0]].idle} steps so far, "
                "so nothing is learned; expected a loss that tells the samples of a batch apart: look whether all are "
                "the same (one image for all captions), the margin is 0 or too small, or fp16 rounds the gradient to 0"
            )
        if self._nothing_left:
            log.warning(
                "epoch %d: the gradient was 0 at each of the last %d steps, so nothing is left to learn for this loss; "
                "training ends here", epoch, min(found.idle for found in self.gradients.values()),
            )  # fmt: skip
            return
        for name in self._idle():
            if name not in self._said_idle:
                log.warning(
                    "epoch %d: the gradient of '%s' was 0 at each of its last %d steps; the others go on",
                    epoch, name, self.gradients[name].idle,
                )  # fmt: skip
        self._said_idle = self._idle()

    def _idle(self) -> set[str]:
        """Return the optimisers that found no gradient for an epoch, and for more than a few steps."""
        fewest = max(self.task.steps_per_epoch, FEWEST_IDLE_STEPS)
        return {name for name, found in self.gradients.items() if found.idle >= fewest}

    @property
    def _nothing_left(self) -> bool:
        """Return whether an epoch ended, before which no optimiser found a gradient any more."""
        return self.at.batch == 0 and len(self._idle()) == len(self.gradients) > 0

    def train_step(self, batch: Any) -> dict[str, Tensor | float]:
        """Make one optimisation step and count it; return the task's values and ``gradient_norm/NAME`` of each.

        A NonFiniteLoss names the step, the loss and the last good checkpoint; a failing torch.compile is a UserError.
        """
        generator = seeding.step_generator(self.seed, self.at.step)
        step = _StepView(self.at.step, self.at.epoch, generator, self.updater, self.averages, self._images_due())
        try:
            with self.updater.autocast():
                values = self.task.train_step(batch, step)
        except NonFiniteLoss as error:
            raise NonFiniteLoss(
                f"step {self.at.step}, epoch {self.at.epoch + 1}: {error}; {self.saver.last_good()}; "
                "lower the learning rate or set trainer.clip_norm"
            ) from error
        except RuntimeError as error:
            if self.settings.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = str(error).splitlines()[0][:200]
                raise UserError(f"torch.compile failed ({reason}); set trainer.compile: false") from error
            raise
        for name, average in self.averages.items():
            if self.at.step < self.settings.ema.start_step:
                average.n_averaged.zero_()  # so that the weights themselves are taken
            average.update_parameters(self.task.modules[name])
        self._step_schedules()
        self._shown = step.images, step.values
        for name, moved in step.moved.items():
            self.gradients.setdefault(name, Gradients()).count(moved)
        self.at.step += 1
        self.at.batch += 1
        return {name: value.detach() if isinstance(value, Tensor) else value for name, value in values.items()} | (
            step.norms
        )

    def _step_schedules(self) -> None:
        """Go on to the next learning rates; a schedule that ends before the training does is a UserError."""
        for name, scheduler in self.task.schedulers.items():
            try:
                scheduler.step()
            except ValueError as error:
                raise UserError(
                    f"the schedule of '{name}' has no learning rate after step {self.at.step + 1}: {error}; it was "
                    "made for the length that the run had when it began: give another run.name=..., or a schedule that "
                    "may be prolonged, such as engine.schedules.cosine"
                ) from error

    def _images_due(self) -> bool:
        """Return whether TensorBoard shows images of the next step."""
        every = self.settings.show_every_steps
        wanted = every is not None and (self.at.step + 1) % every == 0
        return wanted and self.folder is not None and distributed.is_main()

    def _stop(self, stop: StopRequest) -> None:
        self.saver.save()
        if self.folder is None:
            raise Stopped("stopped; nothing was written", stop.exit_code)
        raise Stopped(f"stopped after step {self.at.step}; {self.folder.after_stop()}", stop.exit_code)

    def _log(self, run_log: RunLog, epoch: int, throughput: Throughput) -> None:
        values = {f"train/{name}": sum(float(v) for v in series) / len(series) for name, series in self.logged.items()}
        self.logged.clear()
        for name, optimizer in self.task.optimizers.items():
            groups = optimizer.param_groups
            for number, group in enumerate(groups):
                key = name if len(groups) == 1 else f"{name}.{number}"
                values[f"learning_rate/{key}"] = group["lr"]
        values |= {f"speed/{name}": value for name, value in throughput.read().items()}
        run_log.scalars(self.at.step, epoch - 1, values)
        trained = {name.removeprefix("train/"): value for name, value in values.items() if name.startswith("train/")}
        losses = short_list(trained, rest="in metrics.jsonl")
        log.info(
            "epoch %d/%d  step %d  %s  %.0f samples/s  (%.0f %% waiting for data)",
            epoch, self.settings.epochs, self.at.step, losses, values["speed/samples_per_second"],
            100 * values["speed/data_wait_fraction"],
        )  # fmt: skip

    # -- evaluation ----------------------------------------------------------------------------------------------

    def _train_mode(self, training: bool) -> None:
        for module in self.task.modules.values():
            module.train(training)

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Evaluate the task on ``limit`` batches or all, with averaged weights if any, in full precision."""
        replicas.average_running_statistics([*self.task.modules.values(), *self.averages.values()])
        self._train_mode(False)
        with averaged_weights(self.task.modules, self.averages), torch.no_grad():
            return self.task.evaluate(limit)

    def _evaluate(self, run_log: RunLog) -> dict[str, float]:
        """Evaluate, log, and write ``best.pt`` when the metric that chooses it is the best so far."""
        metrics = self.evaluate()
        run_log.scalars(self.at.step, self.at.epoch, {f"validation/{name}": value for name, value in metrics.items()})
        names = self.task.shown_metrics
        words = names if isinstance(names, Mapping) else {name: name for name in names}
        shown = "  ".join(compact({words[name]: metrics[name] for name in words}))
        name = self.settings.best_by or self.task.metric
        if name not in metrics:
            raise UserError(
                f"the metric '{name}' that chooses best.pt is not among the task's results: {', '.join(metrics)}; set "
                "trainer.best_by to one of them"
            )
        best = metrics[name] > self.at.best
        log.info("step %d  validation  %s%s", self.at.step, shown, f"  (best {name} so far)" if best else "")
        if best:
            self.at.best = metrics[name]
            self.saver.save_best(metrics)
        return metrics
