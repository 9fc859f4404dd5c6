"""Read back what a run of a speech-image task, or a published program, trained: encoders and their description."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor, nn

import config
from common.errors import UserError
from models.similarity import Similarity
from published import is_experiment, load_encoders
from published.resdavenet_vq import experiment as resdavenet_vq

TextEncoder = Annotated[Callable[..., nn.Module], config.Deferred("vocab_size")]


class ModelError(UserError):
    """Weights for an experiment that are not there or are of another kind."""


def run_config(run: Path) -> dict[str, Any]:
    """Read the complete config of the speech-image run of a folder or checkpoint file, or raise a ModelError."""
    folders = [run] if run.is_dir() else [run.parent, run.parent.parent]
    path = next((folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()), None)
    if path is None:
        raise ModelError(
            f"There is no trained run at {run}: expected a run folder with config.yaml and checkpoints/; train one "
            "first, or give one that exists."
        )
    values = config.translated(config.parse_yaml(path.read_text(encoding="utf-8"), str(path)))
    if not isinstance(values.get("task"), dict) or not values["task"].get("image_encoder"):
        raise ModelError(f"{path} is no config of a speech-image run: it has no task.image_encoder; give another run.")
    return values


def build_encoder(task: dict[str, Any], name: str, run: Path) -> nn.Module:
    """Build the encoder ``name`` of a run's ``task`` node with fresh weights, or raise a ModelError about ``run``."""
    node = task.get(name)
    if not node:
        raise ModelError(f"{run} has no task.{name} (it reads written captions); these experiments need speech.")
    if not isinstance(node, dict):
        raise ModelError(f"{run}: task.{name} is a {type(node).__name__}, expected a node {{type: ...}}.")
    if "pretrained" in node:  # its weights are in the checkpoint
        node = {**node, "pretrained": None}
    return config.build(checked(node, nn.Module, f"task.{name}", run), f"task.{name}")


def checked(value: Any, annotation: Any, key_path: str, run: Path) -> Any:
    """Return a part of what a run or a card describes, which may come from anywhere, checked and with its defaults.

    Another thing than the ``annotation``, such as ``nn.Module``, is a ModelError that names ``run``.
    """
    try:
        return config.check_outside(value, annotation, key_path)
    except config.ConfigError as error:
        raise ModelError(f"{run} describes what this version of the project does not build: {error}") from error


def encoder_nodes(path: Path) -> dict[str, Any]:
    """Return how the encoders of a run or a published experiment are built and compared: nodes by the task's keyword.

    ``path`` is a run folder or checkpoint of a speech-image task, or an experiment folder of wnhsu/ResDAVEnet-VQ or its
    ``audio_model`` file. No node names weights to begin with.
    """
    if is_experiment(path):
        return resdavenet_vq.describe(path)
    task = run_config(path)["task"]
    wanted = {"image_encoder": nn.Module, "speech_encoder": nn.Module, "text_encoder": TextEncoder}
    nodes = {name: task.get(name) for name in (*wanted, "similarity")}
    for name, annotation in (wanted | {"similarity": Similarity}).items():
        if nodes[name] is not None:
            if isinstance(nodes[name], dict) and "pretrained" in nodes[name]:
                nodes[name]["pretrained"] = None
            nodes[name] = checked(nodes[name], annotation, f"task.{name}", path)
    return nodes


def published_weights(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read a published file or folder of both encoders for ``init_from``: weights by the task's module names."""
    encoders = load_encoders(path)
    return {"image": encoders.image.state_dict(), "speech": encoders.speech.state_dict()}
