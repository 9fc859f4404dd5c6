"""Reads back what a run of a speech-image task trained: its config, and its encoders as the config describes them."""

from pathlib import Path
from typing import Any

from torch import nn

import config
from engine.errors import UserError


class ModelError(UserError):
    """Weights for an experiment that are not there or are of another kind."""


def run_config(run: Path) -> dict[str, Any]:
    """Read the config of the run that a folder or checkpoint file belongs to.

    Args:
        run: a run folder of a speech-image task, or one of its checkpoint files.

    Returns:
        The complete config.

    Raises:
        ModelError: there is no run, or it is of another task.
    """
    folders = [run] if run.is_dir() else [run.parent, run.parent.parent]
    path = next((folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()), None)
    if path is None:
        raise ModelError(
            f"There is no trained run at {run}: expected a run folder with config.yaml and checkpoints/; train one "
            "first, or set model.run to one that exists."
        )
    values = config.parse_yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(values.get("task"), dict) or not values["task"].get("image_encoder"):
        raise ModelError(f"{path} is no config of a speech-image run: it has no task.image_encoder; give another run.")
    return values


def build_encoder(task: dict[str, Any], name: str, run: Path) -> nn.Module:
    """Build an encoder of a run with fresh weights.

    Args:
        task: the run's ``task`` node.
        name: ``image_encoder`` or ``speech_encoder``.
        run: for messages.

    Returns:
        The encoder.

    Raises:
        ModelError: the run has none, or another version of this project wrote it.
    """
    node = task.get(name)
    if not node:
        raise ModelError(f"{run} has no task.{name} (it reads written captions); these experiments need speech.")
    if "pretrained" in node:  # its weights are in the checkpoint
        node = {**node, "pretrained": None}
    try:
        return config.build(node, f"task.{name}")
    except TypeError as error:
        raise ModelError(f"task.{name} of {run} was written by another version of this project: {error}") from error
