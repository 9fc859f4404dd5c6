"""The one training loop: a task says what is learned, the Trainer says how it is run.

It owns the loop, mixed precision, clipping, schedules, weight averaging, checkpoints, resume, logging, budgets and the
guard against losses that are not finite. Tasks with several optimisers (GANs) call ``step.update`` once for each.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from engine import checkpoint, distributed, seeding
from engine.errors import UserError
from engine.logs import RunLog, Throughput, progress, short_list
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from engine.stop import StopRequest
from engine.task import Task
from engine.update import NonFiniteLoss, Updater, pick_precision

log = logging.getLogger(__name__)


class Stopped(UserError):
    """Training ended early by a signal, with a checkpoint."""

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
    norms: dict[str, float] = field(default_factory=dict)

    def update(
        self, name: str, loss: Tensor, retain_graph: bool = False, parts: dict[str, Tensor] | None = None
    ) -> None:
        self.norms[f"gradient_norm/{name}"] = self.updater(name, loss, retain_graph, parts)


class Trainer:
    """Trains a task.

    Args:
        task: see :class:`engine.task.Task`; its modules are already on ``device``.
        settings: see :class:`engine.settings.TrainerSettings`.
        seed: of the per-step generators.
        device: this rank's device.
        folder: where checkpoints and logs go; None writes nothing.
        config_text: the resolved config, kept in every checkpoint.
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
        self.device = device
        self.folder = folder
        self.config_text = config_text
        self.updater = Updater(task.optimizers, pick_precision(settings.precision, device), device, settings.clip_norm)
        self.step = 0  # optimisation steps done
        self.epoch = 0  # epochs done
        self.batch = 0  # batches done of the current epoch
        self.seconds = 0.0  # training time, earlier parts of a resumed run included
        self.best = -math.inf
        distributed.broadcast_modules(task.modules.values())
        self.averages = self._make_averages()
        if settings.compile:
            for module in task.modules.values():
                module.compile()

    def _make_averages(self) -> dict[str, AveragedModel]:
        ema = self.settings.ema
        if ema is None:
            return {}
        names = ema.modules or list(self.task.modules)
        unknown = [name for name in names if name not in self.task.modules]
        if unknown:
            raise UserError(
                f"trainer.ema.modules: found {unknown}, expected some of this task's modules {list(self.task.modules)}"
            )
        average = get_ema_multi_avg_fn(ema.decay)
        return {name: AveragedModel(self.task.modules[name], multi_avg_fn=average) for name in names}

    def restart_averages(self) -> None:
        """Begin the moving averages at the present weights (after other weights were loaded)."""
        self.averages = self._make_averages()

    # -- the loop ------------------------------------------------------------------------------------------------

    def fit(self) -> dict[str, float]:
        """Train to the end of the epochs or of a budget.

        Returns:
            The metrics of the last evaluation.

        Raises:
            Stopped: a signal came; a checkpoint was written.
            NonFiniteLoss: names the step, the loss and the last good checkpoint.
        """
        metrics: dict[str, float] = {}
        run_log = RunLog(self.folder, first_step=self.step + 1 if self.step else 0)
        if self.step == 0:
            for number, example in enumerate(self.task.examples()):
                run_log.example(f"example_{number}", 0, *example)
        with StopRequest() as stop:
            while not self.finished:
                self._train_epoch(run_log, stop)
                if self.batch == 0 and self.epoch % self.settings.evaluate_every_epochs and not self.finished:
                    self._save_if_due(epoch_ended=True)
                    continue
                metrics = self._evaluate(run_log)
                self._save_if_due(epoch_ended=True)
                if distributed.any_rank(stop.requested):
                    self._stop(stop)
        run_log.close()
        return metrics

    @property
    def finished(self) -> bool:
        """Whether the epochs or a budget are used up."""
        settings = self.settings
        out_of_steps = settings.max_steps is not None and self.step >= settings.max_steps
        if self.epoch >= settings.epochs or out_of_steps:
            return True
        if settings.max_minutes is None:
            return False
        return distributed.any_rank(self.seconds >= 60 * settings.max_minutes)

    def _train_epoch(self, run_log: RunLog, stop: StopRequest) -> None:
        """Train until the epoch's end or a budget's."""
        self.task.begin_epoch(self.epoch)
        self._train_mode(True)
        throughput = Throughput()
        logged: dict[str, list[Tensor | float]] = {}
        batches = throughput.timed(self.task.batches(self.epoch, self.batch))
        what = f"epoch {self.epoch + 1}/{self.settings.epochs}"
        for batch in progress(batches, self.task.steps_per_epoch, what, self.batch):
            before = time.perf_counter()
            for name, value in self.train_step(batch).items():
                logged.setdefault(name, []).append(value)
            throughput.samples += self.task.batch_size
            self.seconds += time.perf_counter() - before
            if self.step % self.settings.log_every_steps == 0:
                self._log(run_log, logged, throughput)
                logged = {}
            if distributed.any_rank(stop.requested):
                self._stop(stop)
            if self.finished:
                break
            self._save_if_due()
        else:
            self.epoch, self.batch = self.epoch + 1, 0

    def train_step(self, batch: Any) -> dict[str, Tensor | float]:
        """Make one optimisation step and count it."""
        step = _StepView(self.step, self.epoch, seeding.step_generator(self.seed, self.step), self.updater)
        try:
            with self.updater.autocast():
                values = self.task.train_step(batch, step)
        except NonFiniteLoss as error:
            raise NonFiniteLoss(f"step {self.step}, epoch {self.epoch + 1}: {error}; {self._last_good()}") from error
        except RuntimeError as error:
            if self.settings.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                reason = str(error).splitlines()[0][:200]
                raise UserError(f"torch.compile failed ({reason}); set trainer.compile: false") from error
            raise
        for name, average in self.averages.items():
            average.update_parameters(self.task.modules[name])
        for scheduler in self.task.schedulers.values():
            scheduler.step()
        self.step += 1
        self.batch += 1
        return {name: value.detach() if isinstance(value, Tensor) else value for name, value in values.items()} | (
            step.norms
        )

    def _last_good(self) -> str:
        if self.folder is not None and self.folder.last.exists():
            return f"the last good checkpoint is {self.folder.last}; lower the learning rate or set trainer.clip_norm"
        return "no checkpoint was written yet; lower the learning rate or set trainer.clip_norm"

    def _stop(self, stop: StopRequest) -> None:
        self.save()
        if self.folder is None:
            raise Stopped("stopped; nothing was written", stop.exit_code)
        raise Stopped(
            f"stopped after step {self.step}; the same command goes on from {self.folder.last}", stop.exit_code
        )

    def _log(self, run_log: RunLog, logged: dict[str, list[Tensor | float]], throughput: Throughput) -> None:
        values = {f"train/{name}": sum(float(v) for v in series) / len(series) for name, series in logged.items()}
        for name, optimizer in self.task.optimizers.items():
            values[f"learning_rate/{name}"] = optimizer.param_groups[0]["lr"]
        values |= {f"speed/{name}": value for name, value in throughput.read().items()}
        run_log.scalars(self.step, self.epoch, values)
        trained = {name.removeprefix("train/"): value for name, value in values.items() if name.startswith("train/")}
        losses = short_list({name.replace("gradient_norm/", "|g| "): value for name, value in trained.items()})
        log.info(
            "epoch %d  step %d  %s  %.0f samples/s  (%.0f %% waiting for data)",
            self.epoch + 1, self.step, losses, values["speed/samples_per_second"],
            100 * values["speed/data_wait_fraction"],
        )  # fmt: skip

    # -- evaluation ----------------------------------------------------------------------------------------------

    def _train_mode(self, training: bool) -> None:
        for module in self.task.modules.values():
            module.train(training)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Exchange the modules' weights for their moving averages, and back at the end."""
        self._swap_averages()
        try:
            yield
        finally:
            self._swap_averages()

    def _swap_averages(self) -> None:
        for name, average in self.averages.items():
            pairs = zip(self.task.modules[name].parameters(), average.module.parameters(), strict=True)
            for live, mean in pairs:
                live.data, mean.data = mean.data, live.data

    def evaluate(self, limit: int | None = None) -> dict[str, float]:
        """Evaluate the task with averaged weights (where there are any), in full precision.

        Args:
            limit: number of batches; None for all.
        """
        distributed.average_running_statistics(self.task.modules.values())
        self._train_mode(False)
        with self.averaged_weights(), torch.no_grad():
            return self.task.evaluate(limit)

    def _evaluate(self, run_log: RunLog) -> dict[str, float]:
        """Evaluate, log, and write ``best.pt`` when the task's metric is the best so far."""
        metrics = self.evaluate()
        run_log.scalars(self.step, self.epoch, {f"validation/{name}": value for name, value in metrics.items()})
        shown = "  ".join(f"{name} {metrics[name]:.4g}" for name in self.task.shown_metrics)
        best = metrics.get(self.task.metric, -math.inf) > self.best
        log.info("step %d  validation  %s%s", self.step, shown, "  (best so far)" if best else "")
        if self.task.metric not in metrics:
            raise UserError(f"the task's metric '{self.task.metric}' is not among its results: {', '.join(metrics)}")
        if metrics[self.task.metric] > self.best:
            self.best = metrics[self.task.metric]
            state = self.state()
            if self.folder is not None and distributed.is_main():
                checkpoint.write(self.folder.best, {**state, "metrics": metrics})
        return metrics

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything that an exact continuation needs (call on every rank)."""
        distributed.average_running_statistics(self.task.modules.values())
        return {
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "best": self.best,
            "config": self.config_text,
            "modules": {name: module.state_dict() for name, module in self.task.modules.items()},
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.task.optimizers.items()},
            "schedulers": {name: scheduler.state_dict() for name, scheduler in self.task.schedulers.items()},
            "scalers": {name: scaler.state_dict() for name, scaler in self.updater.scalers.items()},
            "random": distributed.gather_objects(seeding.random_state()),
        }

    def load_state(self, state: dict[str, Any], source: str) -> None:
        """Continue from a state that :meth:`state` returned.

        Raises:
            UserError: the state belongs to other networks or optimisers.
        """
        parts = {
            "modules": self.task.modules,
            "averages": self.averages,
            "optimizers": self.task.optimizers,
            "schedulers": self.task.schedulers,
            "scalers": self.updater.scalers,
        }
        for kind, objects in parts.items():
            if set(state[kind]) != set(objects):
                raise UserError(f"{source} holds the {kind} {sorted(state[kind])}, this config has {sorted(objects)}")
            for name, part in objects.items():
                try:
                    part.load_state_dict(state[kind][name])
                except (RuntimeError, ValueError) as error:
                    reason = " ".join(str(error).split())[:600]
                    raise UserError(f"{source}: {kind} '{name}' does not fit this config: {reason}") from error
        self.step, self.epoch, self.batch = state["step"], state["epoch"], state["batch"]
        self.seconds, self.best = state["seconds"], state["best"]
        if len(state["random"]) == distributed.world_size():
            seeding.set_random_state(state["random"][distributed.rank()])
        else:
            log.warning(
                "%s was written by %d processes, this run has %d: random states start anew",
                source, len(state["random"]), distributed.world_size(),
            )  # fmt: skip
            seeding.seed_all(self.seed + self.step, distributed.rank())

    def resume(self) -> bool:
        """Continue from the run folder's newest readable checkpoint, if there is one."""
        if self.folder is None:
            return False
        found = checkpoint.read_newest(self.folder.checkpoints)
        if found is None:
            return False
        path, state = found
        self.load_state(state, str(path))
        if distributed.is_main():
            self.folder.forget_after(self.step)
        log.info("resumed from %s: step %d, epoch %d, batch %d", path, self.step, self.epoch + 1, self.batch)
        return True

    def save(self) -> None:
        """Write ``last.pt`` (the one before becomes ``previous.pt``), and a numbered copy when asked for."""
        state = self.state()
        if self.folder is None or not distributed.is_main():
            return
        checkpoint.keep_previous(self.folder.last)
        checkpoint.write(self.folder.last, state)
        keep = self.settings.checkpoint.keep
        if keep:
            checkpoint.write(self.folder.checkpoints / checkpoint.step_name(self.step), state)
            checkpoint.prune(self.folder.checkpoints, keep)

    def _save_if_due(self, epoch_ended: bool = False) -> None:
        settings = self.settings.checkpoint
        by_steps = settings.every_steps is not None and self.step % settings.every_steps == 0 and not epoch_ended
        by_epochs = epoch_ended and (self.epoch % settings.every_epochs == 0 or self.finished)
        if by_steps or by_epochs:
            self.save()
