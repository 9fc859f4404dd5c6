"""The state of a training: what its exact continuation needs, when it is written, how a run goes on from it.

checkpoint.py writes and reads the files safely.
"""

import functools
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from common import distributed
from common.errors import UserError
from engine import checkpoint, replicas, resumable, seeding, state_checks
from engine.ema import Average
from engine.run_folder import RunFolder
from engine.settings import CheckpointSettings
from engine.task import Task
from engine.update import Updater

log = logging.getLogger(__name__)
ONLY_TO_GO_ON = ("optimizers", "schedulers", "scalers", "random")  # what a snapshot lacks


@dataclass
class Position:
    """Progress of a training."""

    step: int = 0  # optimisation steps done
    epoch: int = 0  # epochs done
    batch: int = 0  # batches done of the current epoch
    # that training took with all its waiting and evaluation, earlier parts of a resumed run included
    seconds: float = 0.0
    best: float = -math.inf  # the best value of the task's metric so far

    def described(self, steps_per_epoch: int) -> str:
        """Return it in words: the step, and the epoch that it ended or is within, epochs and batches counted from 1."""
        whole, rest = divmod(self.batch, steps_per_epoch)
        if rest:
            return f"step {self.step}, within epoch {self.epoch + 1}, after batch {self.batch} of {steps_per_epoch}"
        return f"step {self.step}, after epoch {self.epoch + whole}" if self.step else "step 0, before the first epoch"


@dataclass
class Gradients:
    """Tells whether one optimiser still learns."""

    learned: bool = False  # some step had a gradient
    idle: int = 0  # its last steps, whose gradients were all 0

    def count(self, moved: bool) -> None:
        """Count one more step, with a gradient or without."""
        self.learned, self.idle = self.learned or moved, 0 if moved else self.idle + 1


@dataclass
class TrainingState:
    """Everything of a training that changes with it."""

    at: Position  # position that it has reached
    task: Task  # its modules, optimisers and schedules
    averages: dict[str, Average]  # moving averages of the modules' weights
    updater: Updater  # its gradient scalers
    seed: int  # of random states that a checkpoint does not hold
    config_text: str  # the resolved config, kept in every checkpoint
    # of the steps since the last row of the log, by name
    logged: dict[str, list[Tensor | float]] = field(default_factory=dict)
    gradients: dict[str, Gradients] = field(default_factory=dict)  # by the optimisers' names

    def _parts(self) -> dict[str, dict[str, Any]]:
        """Return everything with a state of its own, by kind and name."""
        return {
            "modules": self.task.modules,
            "averages": self.averages,
            "optimizers": self.task.optimizers,
            "schedulers": self.task.schedulers,
            "scalers": self.updater.scalers,
        }

    def collect(self) -> dict[str, Any]:
        """Return what a checkpoint holds (call on every rank)."""
        replicas.average_running_statistics([*self.task.modules.values(), *self.averages.values()])
        parts = {
            kind: {name: part.state_dict() for name, part in named.items()} for kind, named in self._parts().items()
        }
        random = distributed.gather_objects(seeding.random_state())
        logged = {name: [float(value) for value in series] for name, series in self.logged.items()}
        return {
            **asdict(self.at), "config": self.config_text, **parts, "random": random, "logged": logged,
            "learns_from": self.learns_from,
            "gradients": {name: asdict(found) for name, found in self.gradients.items()},
        }  # fmt: skip

    @functools.cached_property
    def learns_from(self) -> dict[str, str]:
        """Return the task's account of what it learns from; nothing for a task without one."""
        return getattr(self.task, "learns_from", dict)()

    def check(self, state: dict[str, Any], source: str) -> None:
        """Raise a CheckpointError for a state with the names of this training and values that it cannot have written.

        One of other names or shapes is for :meth:`restore` to refuse.
        """
        resumable.check_state(state, source)
        error = next(self._problems(state), None)
        if error is not None:
            raise resumable.unfit(source, error)

    def _problems(self, state: dict[str, Any]) -> Iterator[str]:
        """Yield messages about values that do not go with each other, or with the living parts."""
        task = self.task
        same_config = self.config_text and state.get("config") == self.config_text  # none where a script steps itself
        unchanged = same_config and state.get("learns_from", {}) == self.learns_from
        yield from state_checks.count_problems(state, task.steps_per_epoch if unchanged else None)
        if unknown := sorted(set(state.get("gradients", {})) - set(task.optimizers)):
            yield f"its gradients are of {unknown}, expected some of the optimisers {sorted(task.optimizers)}"
        checks = {
            "modules": state_checks.module_problems,
            "averages": state_checks.module_problems,
            "optimizers": state_checks.optimizer_problems,
            "schedulers": functools.partial(state_checks.schedule_problems, step=state["step"]),
            "scalers": lambda saved, scaler: state_checks.plain_problems(saved, scaler.state_dict()),
        }
        for kind, named in self._parts().items():
            if set(state[kind]) != set(named):
                return
            for name, part in named.items():
                yield from (f"{kind} '{name}': {problem}" for problem in checks[kind](state[kind][name], part))

    def restore(self, state: dict[str, Any], source: str) -> None:
        """Continue from a state of :meth:`collect`; one of other networks or optimisers ends in a UserError."""
        for kind, named in self._parts().items():
            if set(state[kind]) != set(named):
                raise UserError(f"{source} holds the {kind} {sorted(state[kind])}, this config has {sorted(named)}")
            for name, part in named.items():
                try:
                    part.load_state_dict(state[kind][name])
                except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
                    reason = " ".join(str(error).split())[:600]
                    raise UserError(f"{source}: {kind} '{name}' does not fit this config: {reason}") from error
        for name in asdict(self.at):
            setattr(self.at, name, state[name])
        self.logged.clear()
        self.logged.update(state.get("logged", {}))
        # Checkpoints of earlier versions say nothing of gradients; their trainings are taken to have learned.
        earlier = {name: {"learned": self.at.step > 0, "idle": 0} for name in self.task.optimizers}
        self.gradients.clear()
        self.gradients.update((name, Gradients(**found)) for name, found in state.get("gradients", earlier).items())
        for name, scheduler in self.task.schedulers.items():
            resumable.say_jump(name, scheduler)
        self._restore_random(state["random"], source)

    def _restore_random(self, states: list[dict[str, Any]], source: str) -> None:
        """Set this rank's random state; begin it anew when the states are those of another number of ranks."""
        if len(states) == distributed.world_size():
            seeding.set_random_state(states[distributed.rank()])
            return
        log.warning(
            "%s was written by %d processes, this run has %d: random states start anew",
            source, len(states), distributed.world_size(),
        )  # fmt: skip
        seeding.seed_all(self.seed + self.at.step, distributed.rank())


class Saver:
    """Writes the checkpoints of a run and goes on from them; without a folder it does neither."""

    def __init__(self, state: TrainingState, folder: RunFolder | None, settings: CheckpointSettings) -> None:
        self.state, self.folder, self.settings = state, folder, settings

    def resume(self, accept_changed_data: bool = False) -> bool:
        """Continue from the run folder's newest readable checkpoint; return whether there was one.

        Rows of the log that were written after it, or of a start without any, are dropped. A CheckpointError says that
        none can be read, a UserError that it belongs to other networks, optimisers or data.
        """
        if self.folder is None:
            return False
        found = checkpoint.read_newest(self.folder.checkpoints, self.state.check)
        if found is None:
            if distributed.is_main():
                self.folder.forget_logs()
            return False
        path, state = found
        resumable.check_data(state.get("learns_from", {}), self.state.learns_from, str(path), accept_changed_data)
        self.state.restore(state, str(path))
        at = self.state.at
        if distributed.is_main():
            self.folder.keep_history(at.step, state.get("history_rows"))
        log.info("resumed from %s: %s", path, at.described(self.state.task.steps_per_epoch))
        return True

    def save(self) -> None:
        """Write ``last.pt`` (the one before becomes ``previous.pt``), and a numbered copy when asked for."""
        state = self._collect()
        if self.folder is None or not distributed.is_main():
            return
        checkpoint.keep_previous(self.folder.last)
        checkpoint.write(self.folder.last, state)
        if self.settings.keep:
            checkpoint.write(self.folder.checkpoints / checkpoint.step_name(self.state.at.step), state)
            checkpoint.prune(self.folder.checkpoints, self.settings.keep)

    def save_best(self, metrics: dict[str, float]) -> None:
        """Write ``best.pt``, which also holds the metrics that made it the best."""
        state = self._collect()
        if self.folder is not None and distributed.is_main():
            checkpoint.write(self.folder.best, {**state, "metrics": metrics})

    def before_training(self) -> None:
        """Write ``snapshots/e0.pt`` where snapshots are asked for."""
        if self.state.at.step == 0:
            self._snapshot()

    def _collect(self) -> dict[str, Any]:
        rows = 0 if self.folder is None else self.folder.rows
        return self.state.collect() | {"history_rows": rows}

    def after_step(self) -> None:
        """Save where the settings ask for it between the ends of epochs."""
        if self.settings.every_steps is not None and self.state.at.step % self.settings.every_steps == 0:
            self.save()

    def after_epoch(self, last: bool) -> None:
        """Save after the epochs that the settings name, and after the ``last`` one."""
        self._snapshot()
        if last or self.state.at.epoch % self.settings.every_epochs == 0:
            self.save()

    def _snapshot(self) -> None:
        """Keep the weights where an epoch ends whose number is a multiple of ``snapshot_every_epochs``."""
        at, every = self.state.at, self.settings.snapshot_every_epochs
        whole, rest = divmod(at.batch, self.state.task.steps_per_epoch)  # a budget may end with the epoch's last batch
        epoch = at.epoch + whole
        if every is None or rest or epoch % every:
            return
        state = self.state.collect()
        if self.folder is not None and distributed.is_main():
            kept = {name: value for name, value in state.items() if name not in ONLY_TO_GO_ON}
            checkpoint.write(self.folder.snapshots / f"e{epoch}.pt", kept)

    def last_good(self) -> str:
        """Say where a run that cannot go on left its last checkpoint."""
        if self.folder is not None and self.folder.last.exists():
            return f"the last good checkpoint is {self.folder.last}"
        return "no checkpoint was written yet"
