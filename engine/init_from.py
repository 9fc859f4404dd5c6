"""Start from trained weights: a run folder, a checkpoint file, a published file that the task can read."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import Field
from torch import Tensor, nn

from common.errors import UserError
from engine import checkpoint
from engine.partial_loading import load_modules

log = logging.getLogger(__name__)


@dataclass
class InitFrom:
    """Weights to start from.

    Attributes:
        path: a run folder (its best checkpoint is taken, else its last), a ``.pt`` file, the ``.json`` of an export
            that the task reads (attngan/export.yaml), or a published file or folder (of both encoders of a speech-image
            task: ``model_best_*.pth.tar``, an experiment folder of ResDAVEnet-VQ or its ``models/audio_model.eN.pth``).
        allow_partial: load the entries that fit and list the others; otherwise any misfit is an error. A training may
            begin with or without parts that can be switched, such as quantisers, either way; they are listed.
        modules: names of the task's modules that get these weights, such as ``[image]``; the others stay as they are
            built. All by default.
    """

    path: Path
    allow_partial: bool = False
    modules: Annotated[list[str], Field(min_length=1)] | None = None


class HasModules(Protocol):
    """Anything with modules by name.

    To read exports it has a method ``read_export(path)`` of a ``.json``, and to read published files a method
    ``read_published(path)``; both return weights by the names of modules. ``holds_published(folder)`` recognises
    published folders.
    """

    modules: dict[str, nn.Module]


def checkpoint_files(path: Path) -> list[Path]:
    """Return the checkpoints that a path may mean, the preferred first: of a folder the best, the last, the previous.

    The path is a run folder, its ``checkpoints`` folder, or a file; a CheckpointError where there is none.
    """
    if path.is_file() and path.suffix == ".json":
        raise checkpoint.CheckpointError(
            f"{path} is an exported encoder, which only measurements take; give a run folder or a .pt file"
        )
    if path.is_file():
        return [path]
    if path.suffix == ".json":
        raise checkpoint.CheckpointError(
            f"there is no export {path}; write it with its task's export config, such as lattegan/export.yaml, or give "
            "a run folder or a .pt file"
        )
    if not path.is_dir():
        raise checkpoint.CheckpointError(
            f"there is no checkpoint at {path}; give a run folder or a .pt file that exists"
        )
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    found = [folder / name for name in ("best.pt", "last.pt", "previous.pt") if (folder / name).is_file()]
    if not found:
        raise checkpoint.CheckpointError(f"{path} holds no checkpoint (best.pt or last.pt); train it first")
    return found


def read_checkpoint(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the first of :func:`checkpoint_files` that can be read, and its state; damaged ones leave a warning."""
    files = checkpoint_files(path)
    if files == [path]:
        return path, checkpoint.read(path)
    errors = []
    for file in files:
        try:
            return file, checkpoint.read(file)
        except checkpoint.CheckpointError as error:
            log.warning("%s", error)
            errors.append(str(error))
    raise checkpoint.CheckpointError(
        "no checkpoint can be read; train that run again, or give another path:\n  " + "\n  ".join(errors)
    )


def load_run(path: Path, task: HasModules) -> dict[str, Any]:
    """Load the weights of a run folder or checkpoint (averaged where there are any) into a task; return its state.

    A UserError lists all entries that are missing, unknown or of another shape.
    """
    found, state = read_checkpoint(path)
    load_modules(task.modules, averaged_weights(state), found, allow_partial=False)
    return state


def averaged_weights(state: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """Return the weights of a checkpoint by module, with their averages instead of those that have some."""
    prefix, weights = "module.", {}
    for name, own in state["modules"].items():
        averaged = state["averages"].get(name, {}).items()
        weights[name] = dict(own) | {
            key.removeprefix(prefix): value for key, value in averaged if key.startswith(prefix)
        }
    return weights


def refuse_without_weights(init_from: InitFrom, task: Any) -> None:
    """Raise a CheckpointError for a path where there is neither a checkpoint nor a published folder."""
    if not (_is_export(init_from.path, task) or _is_published_folder(init_from.path, task)):
        checkpoint_files(init_from.path)


def _is_published_folder(path: Path, task: Any) -> bool:
    return path.is_dir() and hasattr(task, "holds_published") and task.holds_published(path)


def _is_export(path: Path, task: Any) -> bool:
    return path.suffix == ".json" and path.is_file() and hasattr(task, "read_export")


def start_from(init_from: InitFrom, task: HasModules, training: bool = True) -> None:
    """Load ``init_from`` into a task's modules that have parameters, and say so.

    Without ``training`` the task may lack nothing. A UserError says that there are no weights, that they do not fit
    (all errors listed), or that a module is unknown.
    """
    path, wanted = init_from.path, wanted_modules(task.modules, init_from.modules)
    found, weights, age = _read(path, task)
    remedy = "" if training else "encoders: as_trained to evaluate the network of those weights, or "
    load_modules(wanted, weights, found, init_from.allow_partial, other_parts=training, remedy=remedy)
    log.info("%s: weights from %s (%s)", ", ".join(wanted), path, age)


def _read(path: Path, task: HasModules) -> tuple[Path, dict[str, dict[str, Tensor]], str]:
    """Return the file of a run's or published weights, tensors by module, and their age in words."""
    if _is_export(path, task):
        return path, task.read_export(path), "export"
    if _is_published_folder(path, task):
        return path, task.read_published(path), "published"
    try:
        found, state = read_checkpoint(path)
    except checkpoint.ForeignCheckpointError:
        if not hasattr(task, "read_published"):
            raise
        return path, task.read_published(path), "published"
    return found, averaged_weights(state), f"step {state['step']}"


def wanted_modules(modules: Mapping[str, nn.Module], names: Sequence[str] | None) -> dict[str, nn.Module]:
    """Return the modules of a task that get weights: those of these names, by default all that have parameters."""
    having = {name: module for name, module in modules.items() if any(True for _ in module.parameters())}
    unknown = [name for name in names or () if name not in having]
    if unknown:
        raise UserError(f"init_from.modules names {unknown[0]!r}; the modules of this task are {', '.join(having)}")
    return {name: module for name, module in having.items() if names is None or name in names}
