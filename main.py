"""What run.py can call: train a task, or evaluate trained weights. Both leave a run folder."""

import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

import config
from config import Factory, Offers
from engine import distributed, seeding
from engine.context import Context
from engine.errors import UserError
from engine.initialise import InitFrom, load_run, start_from
from engine.logs import RunLog, console, flatten
from engine.optimization import Length
from engine.run_folder import RunFolder, RunSettings
from engine.settings import TrainerSettings
from engine.task import Task
from evaluation.report import metrics_table, write_metrics
from trainer import Trainer

log = logging.getLogger(__name__)


@dataclass
class Launch:
    """How many processes run.py starts on this machine.

    Attributes:
        processes: a number, or None for one per visible GPU (one process on a machine without). torchrun's own
            numbers win when it launched the program.
    """

    processes: int | None = None


Seed = Annotated[int, Field(ge=0, lt=2**63)]
CpuThreads = Annotated[int, Field(ge=1)] | None
TaskFactory = Annotated[Callable[..., Task], Offers("data", "device", "seed", "length")]
DataFactory = Annotated[Callable[..., Any], Offers("seed", "rank", "world_size", "pin_memory")]


def train(
    task: TaskFactory,
    data: DataFactory,
    trainer: TrainerSettings,
    context: Context,
    seed: Seed = 0,
    deterministic: bool = False,
    prepare: Annotated[Callable[..., Path], Offers("dry_folder")] | None = None,
    init_from: InitFrom | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
    launch: Launch = Launch(),  # noqa: ARG001, B008  read by run.py
    cpu_threads: CpuThreads = None,
) -> None:
    """Train a task, evaluate its best weights, write the report.

    Args:
        task: what is learned.
        data: what it is learned from; handed to the task.
        trainer: how it is trained.
        context: given by run.py.
        seed: of everything random.
        deterministic: ask torch for repeatable algorithms on GPUs.
        prepare: makes the data when they are not there yet.
        init_from: weights to start from.
        run: where the run is written and whether it goes on.
        launch: processes on this machine; read by run.py.
        cpu_threads: threads of torch on the CPU, its own choice when None; with one, a run repeats bit for bit.
    """
    device = _start(seed, deterministic, cpu_threads)
    if context.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            if prepare is not None:
                data, task = _prepare_dry(prepare, context, Path(folder))
            _dry_run(without_schedule(task), data, trainer, init_from, seed, device)
        return
    folder = RunFolder(config.resolve_path(run.folder) / (run.name or context.name))
    folder.check(context.values, run.resume)
    if prepare is not None and distributed.is_main():
        prepare()
    distributed.barrier()
    built = _build_task(task, data, trainer, seed, device)
    if distributed.is_main():
        folder.prepare(context.values, run.resume, context.command)
    distributed.barrier()
    loop = Trainer(built, trainer, seed, device, folder, context.config_text)
    if not loop.resume() and init_from is not None:
        start_from(init_from, built)
        loop.restart_averages()
    was_finished = loop.finished
    loop.fit()
    if was_finished and (folder.path / "metrics.json").exists():
        log.info("%s is finished; nothing was trained (run.resume=overwrite starts it again)", folder.path)
    else:
        finish(built, loop, folder, context)
    show(folder)


def evaluate(
    task: TaskFactory,
    data: DataFactory,
    init_from: InitFrom,
    context: Context,
    seed: Seed = 0,
    deterministic: bool = False,
    prepare: Annotated[Callable[..., Path], Offers("dry_folder")] | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
    launch: Launch = Launch(),  # noqa: ARG001, B008  read by run.py
    cpu_threads: CpuThreads = None,
    trainer: TrainerSettings | None = None,
) -> None:
    """Evaluate trained weights and write the report, without training.

    Args:
        task: the same node as in training.
        data: the data to evaluate on.
        init_from: the run folder or checkpoint that holds the weights.
        context: given by run.py.
        seed: of everything random.
        deterministic: ask torch for repeatable algorithms on GPUs.
        prepare: makes the data when they are not there yet.
        run: where the report is written.
        launch: processes on this machine; read by run.py.
        cpu_threads: threads of torch on the CPU, its own choice when None; with one, a run repeats bit for bit.
        trainer: as in training; a config that extends a training config keeps it. Nothing is trained.
    """
    device = _start(seed, deterministic, cpu_threads)
    settings = trainer or TrainerSettings(epochs=1)
    task = without_schedule(task)
    if context.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            if prepare is not None:
                data, task = _prepare_dry(prepare, context, Path(folder))
                task = without_schedule(task)
            built = _build_task(task, data, settings, seed, device)
            start_from(init_from, built)
            log.info("dry run: %s", Trainer(built, settings, seed, device, None).evaluate(limit=1))
        return
    if prepare is not None and distributed.is_main():
        prepare()
    distributed.barrier()
    built = _build_task(task, data, settings, seed, device)
    start_from(init_from, built)
    folder = RunFolder(config.resolve_path(run.folder) / (run.name or context.name))
    if any(folder.checkpoints.glob("*.pt")):
        raise UserError(f"{folder.path} holds a training run; give the evaluation another run.name=...")
    if distributed.is_main():
        folder.prepare(context.values, "auto", context.command)
    distributed.barrier()
    _report(built, Trainer(built, settings, seed, device, None), folder, context)
    show(folder)


def _start(seed: int, deterministic: bool, cpu_threads: int | None) -> torch.device:
    """Join the other ranks, seed, and choose the device."""
    if cpu_threads is not None:
        torch.set_num_threads(cpu_threads)
    device = distributed.pick_device()
    distributed.start(device)
    seeding.seed_all(seed, distributed.rank())
    torch.set_float32_matmul_precision("high")
    if deterministic:
        seeding.make_deterministic()
    return device


def _build_task(task: Factory, data: Factory, settings: TrainerSettings, seed: int, device: torch.device) -> Task:
    """Build data and task; the weights are drawn from the same seed on every rank."""
    torch.manual_seed(seed)
    built = data(
        seed=seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        pin_memory=device.type == "cuda",
    )
    made = task(data=built, device=device, seed=seed, length=Length(settings.epochs, settings.max_steps))
    seeding.seed_all(seed, distributed.rank())
    count = sum(p.numel() for module in made.modules.values() for p in module.parameters() if p.requires_grad)
    log.info(
        "%s on %s, %d process%s: %.2f M trainable parameters, %d steps of %d samples per epoch",
        type(made).__name__, device, distributed.world_size(), "es" * (distributed.world_size() > 1),
        count / 1e6, made.steps_per_epoch, made.batch_size,
    )  # fmt: skip
    return made


def without_schedule(task: Factory) -> Factory:
    """Return the task's node without its schedule, which has nothing to do where there is no training to its end."""
    arguments = {
        key: {**group, "schedule": None} if isinstance(group, dict) and "schedule" in group else group
        for key, group in task.arguments.items()
    }
    if task.takes("schedule"):
        arguments["schedule"] = None
    return Factory(task.target, arguments, task.key_path)


def _prepare_dry(prepare: Factory, context: Context, folder: Path) -> tuple[Factory, Factory]:
    """Point data and task at a small temporary preparation when the real one is missing."""
    real = _folder_of(prepare.arguments)
    if real is None or real.exists():
        return _factories(context)
    log.info("dry run: %s is not there yet, a small stand-in is made in a temporary folder", real)
    prepare(dry_folder=folder)
    context.redirect(real, folder)
    return _factories(context)


def _folder_of(arguments: dict[str, Any]) -> Path | None:
    """Return the first ``folder`` in the arguments of a preparation."""
    for key, value in arguments.items():
        if key == "folder":
            return config.resolve_path(value)
        if isinstance(value, dict) and (found := _folder_of(value)):
            return found
    return None


def _factories(context: Context) -> tuple[Factory, Factory]:
    def factory(name: str) -> Factory:
        node = dict(context.values[name])
        return Factory(config.resolve_type(node.pop("type")), node, name)

    return factory("data"), factory("task")


def _dry_run(
    task: Factory,
    data: Factory,
    settings: TrainerSettings,
    init_from: InitFrom | None,
    seed: int,
    device: torch.device,
) -> None:
    """Make one optimisation step and evaluate one batch."""
    built = _build_task(task, data, settings, seed, device)
    loop = Trainer(built, settings, seed, device, None)
    if init_from is not None:
        start_from(init_from, built)
    built.begin_epoch(0)
    for module in built.modules.values():
        module.train()
    values = loop.train_step(next(iter(built.batches(0, 0))))
    log.info("dry run: one step  %s", "  ".join(f"{name} {float(value):.4g}" for name, value in values.items()))
    metrics = loop.evaluate(limit=1)
    log.info("dry run: one evaluation batch  %s", "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    log.info("dry run: fine, nothing was written")


def finish(task: Task, loop: Trainer, folder: RunFolder, context: Context) -> None:
    """Evaluate the best weights of a run and write metrics and report (call on every rank)."""
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
    run_log = RunLog(folder, first_step=loop.step + 1)
    run_log.config(context.config_text, metrics)
    run_log.hyperparameters(flatten(context.values), metrics)
    run_log.close()


def show(folder: RunFolder) -> None:
    """Print the metrics table and where everything is."""
    if not distributed.is_main():
        return
    metrics = json.loads((folder.path / "metrics.json").read_text(encoding="utf-8"))
    console.print(metrics_table(metrics), highlight=False, markup=False)
    rows = {
        "report": folder.path / "report.html",
        "checkpoint": folder.best if folder.best.exists() else None,
        "metrics": folder.path / "metrics.json",
    }
    for name, path in rows.items():
        if path is not None and path.exists():
            console.print(f"{name:<12}{config.short(path)}", highlight=False, soft_wrap=True)
    console.print(
        f"{'curves':<12}tensorboard --logdir {config.short(folder.tensorboard)}", highlight=False, soft_wrap=True
    )


__all__ = ["Launch", "UserError", "evaluate", "finish", "show", "train"]
