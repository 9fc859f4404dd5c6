"""Entries of run.py: train a task, or evaluate trained weights. Both leave a run folder."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

import config
from common import distributed
from common.errors import UserError
from config import Deferred
from config.limits import Seed, Threads
from engine.assemble import (
    as_trained,
    build_task,
    is_sized_by_data,
    refuse_missing,
    start,
    without_schedule,
)
from engine.context import Context
from engine.init_from import InitFrom, load_run, refuse_without_weights, start_from, wanted_modules
from engine.logs import RunLog, compact, flatten, say
from engine.run_folder import RunFolder, RunSettings
from engine.settings import Launch, TrainerSettings
from engine.stand_in import Nodes, dry_nodes, rehearse
from engine.task import Task
from evaluation.report.retrieval import has_metrics, left_out_text, metrics_table, read_metrics, write_metrics
from trainer import Trainer

log = logging.getLogger(__name__)


TaskFactory = Annotated[Callable[..., Task], Deferred("data", "device", "seed", "length", "folder", "dry_run")]
DataFactory = Annotated[Callable[..., Any], Deferred("seed", "rank", "world_size", "pin_memory")]


def train(
    task: TaskFactory,
    data: DataFactory,
    trainer: TrainerSettings,
    context: Context,
    seed: Seed = 0,
    deterministic: bool = False,
    prepare: Annotated[Callable[..., Path], Deferred("dry_folder")] | None = None,
    init_from: InitFrom | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
    launch: Launch = Launch(),  # noqa: ARG001, B008  read by run.py
    cpu_threads: Threads | None = None,
) -> None:
    """Train a task, evaluate its best weights, write the report.

    Args:
        task: the task that learns.
        data: the data, handed to the task.
        trainer: length and settings of the training.
        context: given by run.py.
        seed: of everything random.
        deterministic: ask torch for repeatable algorithms on GPUs.
        prepare: makes the data when they are not there yet.
        init_from: weights to start from.
        run: folder of the run, and rules by which it goes on.
        launch: processes on this machine; read by run.py.
        cpu_threads: threads of torch on the CPU, its own choice when None; with one, a run repeats bit for bit.
    """
    device = start(seed, deterministic, cpu_threads)
    refuse_missing(data, prepare)
    if context.dry_run:
        with dry_nodes(prepare, data, task, context) as nodes:
            _dry_run(nodes, trainer, init_from, seed, device)
        return
    folder = RunFolder(run.path(context.name), run.resume)
    folder.check(context.values, run.resume_now)
    context.after_stop = folder.after_stop
    goes_on = any(folder.checkpoints.glob("*.pt")) and run.resume_now != "overwrite"
    if init_from is not None and not goes_on:
        refuse_without_weights(init_from, task.target)
    if prepare is not None:
        begin = None if goes_on else init_from
        rehearse(prepare, data, context, lambda nodes: _try_out(nodes, trainer, begin, seed, device))
        distributed.main_first(prepare)
    built = build_task(task, data, trainer, seed, device, folder)
    if distributed.is_main():
        folder.prepare(context.values, run.resume_now, context.command)
    distributed.barrier()
    loop = Trainer(built, trainer, seed, device, folder, context.config_text)
    if not loop.saver.resume(run.changed_data == "accept") and init_from is not None:
        start_from(init_from, built)
        loop.restart_averages()
    if loop.at.step == 0:
        _look_at_held_out(built)
    was_finished = loop.finished
    if not was_finished and distributed.is_main():
        folder.metrics.unlink(missing_ok=True)  # those of a shorter run; a kill before the report must not leave them
    loop.fit()
    if was_finished and has_metrics(folder.metrics):
        log.info("%s is finished; nothing was trained (run.resume=overwrite starts it again)", folder.path)
    else:
        finish(built, loop, folder, context)
    show(folder)
    folder.release()


def evaluate(
    task: TaskFactory,
    data: DataFactory,
    init_from: InitFrom,
    context: Context,
    seed: Seed = 0,
    deterministic: bool = False,
    prepare: Annotated[Callable[..., Path], Deferred("dry_folder")] | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
    launch: Launch = Launch(),  # noqa: ARG001, B008  read by run.py
    cpu_threads: Threads | None = None,
    trainer: TrainerSettings | None = None,
    encoders: Literal["as_configured", "as_trained"] = "as_configured",
) -> None:
    """Evaluate trained weights and write the report, without training.

    Args:
        task: the same node as in training.
        data: the data to evaluate on.
        init_from: the run folder, checkpoint, or published file or folder that holds the weights.
        context: given by run.py.
        seed: of everything random.
        deterministic: ask torch for repeatable algorithms on GPUs.
        prepare: makes the data when they are not there yet.
        run: folder of the report.
        launch: processes on this machine; read by run.py.
        cpu_threads: threads of torch on the CPU, its own choice when None; with one, a run repeats bit for bit.
        trainer: as in training; a config that extends a training config keeps it. Nothing is trained.
        encoders: ``as_trained`` takes the networks, and how a run compared them, from the run's config or the published
            arguments beside the weights, and only the rest of the task from this config.

    Raises:
        UserError: the run folder holds a training run, or there are no weights at ``init_from`` or they do not fit.
    """
    device = start(seed, deterministic, cpu_threads)
    settings = trainer or TrainerSettings(epochs=1)
    refuse_without_weights(init_from, task.target)
    refuse_missing(data, prepare)
    if encoders == "as_trained":
        task = as_trained(task, init_from.path, context)
    if context.dry_run:
        with dry_nodes(prepare, data, task, context) as nodes:
            loop = _try_out(nodes, settings, init_from, seed, device, training=False)
            log.info("dry run: one evaluation batch\n%s", metrics_table(loop.evaluate(limit=1)))
        return
    folder = RunFolder(run.path(context.name), run.resume)
    if any(folder.checkpoints.glob("*.pt")):
        raise UserError(f"{folder.path} holds a training run; give the evaluation another run.name=...")
    folder.check(context.values, run.resume_now)
    context.after_stop = lambda: folder.after_stop("evaluation")
    if prepare is not None:
        rehearse(prepare, data, context, lambda nodes: _try_out(nodes, settings, init_from, seed, device, False))
        distributed.main_first(prepare)
    built = build_task(without_schedule(task), data, settings, seed, device)
    start_from(init_from, built, training=False)
    if distributed.is_main():
        folder.prepare(context.values, run.resume_now, context.command)
        folder.metrics.unlink(missing_ok=True)
    distributed.barrier()
    _report(built, Trainer(built, settings, seed, device, None), folder, context)
    show(folder)
    folder.release()


def _try_out(
    nodes: Nodes,
    settings: TrainerSettings,
    init_from: InitFrom | None,
    seed: int,
    device: torch.device,
    training: bool = True,
) -> Trainer:
    """Build everything that a run builds, at a small size, and write nothing."""
    built = build_task(without_schedule(nodes.task), nodes.data, settings, seed, device, dry_run=True)
    loop = Trainer(built, settings, seed, device, None)
    if init_from is not None and nodes.small and is_sized_by_data(nodes.task):
        wanted_modules(built.modules, init_from.modules)  # weights fit only a network for all words
    elif init_from is not None:
        start_from(init_from, built, training)
    return loop


def _look_at_held_out(task: Task) -> None:
    getattr(task, "look_at_held_out", lambda: None)()


def _dry_run(
    nodes: Nodes, settings: TrainerSettings, init_from: InitFrom | None, seed: int, device: torch.device
) -> None:
    """Make one optimisation step and evaluate one batch."""
    loop = _try_out(nodes, settings, init_from, seed, device)
    built = loop.task
    _look_at_held_out(built)
    built.begin_epoch(0)
    for module in built.modules.values():
        module.train()
    values = loop.train_step(next(iter(built.batches(0, 0))))
    log.info("dry run: one step  %s", "  ".join(compact(values)))
    metrics = loop.evaluate(limit=1)
    log.info("dry run: one evaluation batch\n%s", metrics_table(metrics))
    log.info("dry run: fine, nothing was written")


def finish(task: Task, loop: Trainer, folder: RunFolder, context: Context) -> None:
    """Evaluate the best weights of a run and write metrics, report and hyper-parameters (call on every rank).

    A CheckpointError says that no checkpoint of the run can be read.
    """
    distributed.barrier()
    state = load_run(folder.path, task)
    log.info("the report is about the weights of step %d", state["step"])
    _report(task, loop, folder, context)


def _report(task: Task, loop: Trainer, folder: RunFolder, context: Context) -> None:
    for module in task.modules.values():
        module.eval()
    with torch.no_grad():
        metrics = task.report(folder, context)
    if not distributed.is_main():
        return
    write_metrics(folder.path, metrics)
    run_log = RunLog(folder, first_step=loop.at.step + 1)
    run_log.config(context.config_text, metrics)
    run_log.hyperparameters(flatten(context.values), metrics)
    run_log.close()


def show(folder: RunFolder) -> None:
    """Print the metrics table of a finished run and where everything is."""
    if not distributed.is_main():
        return
    metrics = read_metrics(folder.metrics)
    say(metrics_table(metrics))
    if text := left_out_text(metrics):
        say(f"{text} left out: {config.short(folder.path / 'skipped.csv')}")
    rows = {
        "report": folder.path / "report.html",
        "checkpoint": folder.best if folder.best.exists() else None,
        "metrics": folder.metrics,
    }
    for name, path in rows.items():
        if path is not None and path.exists():
            say(f"{name:<12}{config.short(path)}")
    say(f"{'curves':<12}tensorboard --logdir {config.short(folder.tensorboard)}")


__all__ = ["UserError", "evaluate", "finish", "show", "train"]
