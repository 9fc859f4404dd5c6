"""From a checked config to a task on a device: what training and evaluation share before they begin."""

import logging
from pathlib import Path

import torch

from common import distributed
from common.errors import UserError
from config import Factory, closest
from config.signatures import kind_of, parameters
from engine import seeding
from engine.context import Context
from engine.optimization import Length
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from engine.stand_in import made_folder
from engine.task import Task

log = logging.getLogger(__name__)

FILE_KEYS = ("manifest", "texts")  # of data, which name one file; ``folder`` names a folder, other paths either


def start(seed: int, deterministic: bool, cpu_threads: int | None) -> torch.device:
    """Join the other ranks, seed, and return this rank's device; ``cpu_threads`` None leaves torch its own choice."""
    if cpu_threads is not None:
        torch.set_num_threads(cpu_threads)
    device = distributed.pick_device()
    distributed.start(device)
    seeding.seed_all(seed, distributed.rank())
    torch.set_float32_matmul_precision("high")
    if deterministic:
        seeding.make_deterministic()
    return device


def refuse_missing(data: Factory, prepare: Factory | None = None) -> None:
    """Raise one UserError for all files of the data that are missing, or are folders, each with its key path.

    Files that the node ``prepare`` makes may be missing.
    """
    made = None if prepare is None else made_folder(prepare.arguments)
    messages = [
        f"  {key_path}: {path} {error}"
        for key_path, path in data.paths()
        if (path.exists() or prepare is None or (made is not None and not path.is_relative_to(made)))
        and (error := _path_error(key_path.rpartition(".")[2], path))
    ]
    if messages:
        files = (
            "1 file of the data is missing" if len(messages) == 1 else f"{len(messages)} files of the data are missing"
        )
        raise UserError(
            "\n".join([f"{files}; correct the path, or make the data first (the config's head says how)", *messages])
        )


def _path_error(key: str, path: Path) -> str | None:
    """Return what is wrong with the path at a key: nothing is there, or a folder instead of a file or the reverse."""
    if not path.exists():
        return f"does not exist{_beside(path, key == 'folder')}"
    if key == "folder" and not path.is_dir():
        return "is a file, expected a folder"
    if key in FILE_KEYS and path.is_dir():
        return "is a folder, expected a file"
    return None


def _beside(path: Path, folder: bool) -> str:
    """Name what of its kind stands instead of a missing file or folder, or the folder that is missing too."""
    if not path.parent.is_dir():
        return f", nor does the folder {path.parent}"
    there = [
        found.name
        for found in path.parent.iterdir()
        if found.is_dir() == folder and (folder or found.suffix.lower() == path.suffix.lower())
    ]
    return closest(path.name, there, likeness=0.6)


def build_task(
    task: Factory,
    data: Factory,
    settings: TrainerSettings,
    seed: int,
    device: torch.device,
    folder: RunFolder | None = None,
    dry_run: bool = False,
) -> Task:
    """Build data and task, with its modules on ``device``; the weights are drawn from the same seed on every rank.

    Args:
        task: node.
        data: node.
        settings: length of the training.
        seed: of weights and data.
        device: device of the task.
        folder: where a task may leave files of its own while it trains; None where nothing is written.
        dry_run: whether a task should do at a small size what only has to be seen to work.

    Raises:
        UserError: files of the data are missing, or data or task refuse their values.
    """
    refuse_missing(data)
    torch.manual_seed(seed)
    built = data(
        seed=seed,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        pin_memory=device.type == "cuda",
    )
    length = Length(settings.epochs, settings.max_steps)
    made = task(data=built, device=device, seed=seed, length=length, folder=folder, dry_run=dry_run)
    seeding.seed_all(seed, distributed.rank())
    count = sum(p.numel() for module in made.modules.values() for p in module.parameters() if p.requires_grad)
    log.info(
        "%s on %s, %d process%s: %.2f M trainable parameters, %d step%s of %d samples per epoch",
        type(made).__name__, device, distributed.world_size(), "es" * (distributed.world_size() > 1),
        count / 1e6, made.steps_per_epoch, "s" * (made.steps_per_epoch != 1), made.batch_size,
    )  # fmt: skip
    return made


def without_schedule(task: Factory) -> Factory:
    """Return the task's node without its schedule and those of its groups, where no training runs to its end."""
    arguments = {
        key: {**group, "schedule": None} if isinstance(group, dict) and "schedule" in group else group
        for key, group in task.arguments.items()
    }
    if task.takes("schedule"):
        arguments["schedule"] = None
    return Factory(task.target, arguments, task.key_path)


def is_sized_by_data(task: Factory) -> bool:
    """Return whether the sizes of a task's networks depend on the data, as a text encoder's on their vocabulary."""
    declared = parameters(task.target)
    given = (key for key, value in task.arguments.items() if value is not None)
    return any("vocab_size" in kind_of(declared[key].annotation).offered for key in given)


def as_trained(task: Factory, path: Path, context: Context) -> Factory:
    """Return the task's node with the networks that trained weights belong to, as their own folder describes them.

    Its target's method ``trained_nodes(path)`` returns those keywords; without that, or without a description, a
    UserError. The context's config is changed too, so that reports name what was evaluated.
    """
    if not hasattr(task.target, "trained_nodes"):
        raise UserError(f"{task.target.__name__} reads no networks from trained weights; set encoders: as_configured")
    arguments = task.arguments | task.target.trained_nodes(path)
    context.values = context.values | {"task": {"type": context.values["task"]["type"], **arguments}}
    return Factory(task.target, arguments, task.key_path)
