"""Start from trained weights: a run folder, a checkpoint file."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from engine import checkpoint
from engine.errors import UserError

log = logging.getLogger(__name__)


@dataclass
class InitFrom:
    """Weights to start from.

    Attributes:
        path: a run folder (its best checkpoint is taken, else its last) or a ``.pt`` file.
        allow_partial: load the entries that fit and list the others; otherwise any misfit is an error.
    """

    path: Path
    allow_partial: bool = False


class HasModules(Protocol):
    """Anything with modules by name."""

    modules: dict[str, nn.Module]


def checkpoint_files(path: Path) -> list[Path]:
    """Return the checkpoints that a run folder or file path may mean: of a folder the best, the last, the previous.

    Args:
        path: a run folder, its ``checkpoints`` folder, or a checkpoint file.

    Returns:
        Those that exist, the one to prefer first.

    Raises:
        CheckpointError: there is none.
    """
    if path.is_file():
        return [path]
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
    """Read the first of :func:`checkpoint_files` that can be read.

    Args:
        path: as in :func:`checkpoint_files`.

    Returns:
        The file used and its state; damaged files of a folder are passed over with a warning.

    Raises:
        CheckpointError: there is none that can be read.
    """
    files = checkpoint_files(path)
    if files == [path]:
        return path, checkpoint.read(path)
    faults = []
    for file in files:
        try:
            return file, checkpoint.read(file)
        except checkpoint.CheckpointError as error:
            log.warning("%s", error)
            faults.append(str(error))
    raise checkpoint.CheckpointError(
        "no checkpoint can be read; train that run again, or give another path:\n  " + "\n  ".join(faults)
    )


def load_run(path: Path, task: HasModules, allow_partial: bool = False, weights_only: bool = False) -> dict[str, Any]:
    """Load the weights of a checkpoint into a task's modules; averaged weights where there are any.

    Args:
        path: a run folder or a checkpoint file.
        task: its ``modules`` receive the weights.
        allow_partial: see :class:`InitFrom`.
        weights_only: leave alone the modules without parameters: what they hold (clusters of feature units) belongs to
            the run that found it.

    Returns:
        The checkpoint's state.

    Raises:
        UserError: entries are missing, unknown or of another shape (all listed), unless ``allow_partial``.
    """
    found, state = read_checkpoint(path)
    faults: list[str] = []
    for name, module in task.modules.items():
        if weights_only and not any(True for _ in module.parameters()):
            continue
        if name not in state["modules"]:
            faults.append(f"{name}: not in the checkpoint, which has {', '.join(state['modules'])}")
            continue
        weights = dict(state["modules"][name])
        prefix = "module."
        averaged = state["averages"].get(name, {})
        weights |= {key.removeprefix(prefix): value for key, value in averaged.items() if key.startswith(prefix)}
        faults += [f"{name}.{fault}" for fault in load_fitting(module, weights)]
    if faults and not allow_partial:
        shown = "\n  ".join(faults[:10]) + (f"\n  ... and {len(faults) - 10} more" if len(faults) > 10 else "")
        raise UserError(
            f"{found} does not fit this model ({len(faults)} entries):\n  {shown}\n"
            "set init_from.allow_partial: true to load what fits"
        )
    for fault in faults:
        log.warning("not loaded from %s: %s", found, fault)
    return state


def load_fitting(module: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Copy the entries of ``weights`` that fit ``module`` by name and shape.

    Args:
        module: changed in place; entries without a fitting weight keep what they hold.
        weights: tensors by the names of the module's state dict.

    Returns:
        One line for each entry that is missing, unknown or of another shape.
    """
    own = module.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    faults = [f"{key}: missing in the checkpoint" for key in own if key not in weights]
    for key, value in weights.items():
        if key not in own:
            faults.append(f"{key}: unknown to this model")
        elif key not in fitting:
            faults.append(f"{key}: shape {tuple(value.shape)} in the checkpoint, {tuple(own[key].shape)} in this model")
    module.load_state_dict(fitting, strict=False)
    return faults


def start_from(init_from: InitFrom, task: HasModules) -> None:
    """Load ``init_from`` into a task and say so.

    Args:
        init_from: the weights, and whether some may be missing.
        task: its ``modules`` receive them; those without parameters are left alone.

    Raises:
        UserError: there are no weights at that path, or they do not fit (all faults listed).
    """
    state = load_run(init_from.path, task, init_from.allow_partial, weights_only=True)
    log.info("weights from %s (step %d)", init_from.path, state["step"])
