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


def read_checkpoint(path: Path) -> tuple[Path, dict[str, Any]]:
    """Read the checkpoint that a run folder or file path means: of a folder the best, else the last, else the previous.

    Returns:
        The file used and its state; damaged files of a folder are passed over with a warning.

    Raises:
        CheckpointError: there is none that can be read.
    """
    if not path.is_dir():
        return path, checkpoint.read(path)
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    faults = []
    for name in ("best.pt", "last.pt", "previous.pt"):
        if not (folder / name).is_file():
            continue
        try:
            return folder / name, checkpoint.read(folder / name)
        except checkpoint.CheckpointError as error:
            log.warning("%s", error)
            faults.append(str(error))
    if faults:
        raise checkpoint.CheckpointError("no checkpoint can be read:\n  " + "\n  ".join(faults))
    raise checkpoint.CheckpointError(f"{path} holds no checkpoint (best.pt or last.pt); train it first")


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
    """Load ``init_from`` into a task and say so."""
    state = load_run(init_from.path, task, init_from.allow_partial, weights_only=True)
    log.info("weights from %s (step %d)", init_from.path, state["step"])
