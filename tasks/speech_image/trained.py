"""Read back what a run of a speech-image task, or a published program, trained: encoders and their description."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor, nn

import config
from common.errors import UserError
from common.text_files import TextError, read_text
from config import Problem, check_values
from engine.init_from import load_run
from models.similarity import Similarity
from published import is_experiment, load_encoders
from published.resdavenet_vq import experiment as resdavenet_vq

log = logging.getLogger(__name__)
TextEncoder = Annotated[Callable[..., nn.Module], config.Deferred("vocab_size")]


class ModelError(UserError):
    """Weights for an experiment that are not there or are of another kind."""


@dataclass
class ModelSource:
    """Source of trained encoders: exactly one of the two keys is given.

    Attributes:
        run: a run folder of a speech-image or words-by-drawing task (its best weights), or one of its checkpoint files;
            where the speech encoder alone is measured, also the ``.json`` of an exported encoder such as the one that
            comes with the project.
        published: for experiments of words by drawing a checkpoint of surisdi/learning-by-drawing
            (``model_best_*.pth.tar``), or its folder; for measurements of ResDAVEnet-VQ an experiment folder of
            wnhsu/ResDAVEnet-VQ (``args.pkl`` beside ``models/``), or its ``models/audio_model.eN.pth``.
    """

    run: Path | None = None
    published: Path | None = None

    def __post_init__(self) -> None:
        check_values(self)

    @staticmethod
    def validate(run: Path | None, published: Path | None) -> Iterator[Problem]:
        """Yield the error of two sources, or none."""
        if (run is None) == (published is None):
            found = "none" if run is None else "both"
            yield (
                "run",
                f"found {found} of run and published; expected exactly one: a run folder, or what a published "
                "program saved",
            )


@dataclass
class RunEncoders:
    """Encoders of a training run with its weights, on the CPU."""

    modules: dict[str, nn.Module]  # by the names that checkpoints use
    values: dict[str, Any]  # the complete config of the run
    step: int = 0  # of the checkpoint
    epoch: int = 0  # of the checkpoint


def load_run_encoders(run: Path, names: Sequence[str] = ("image", "speech")) -> RunEncoders:
    """Load the encoders of these names from a run folder (its best weights) or a checkpoint file.

    A ModelError: the run is none of this project or reads text. Another UserError: the weights are missing, damaged, or
    of another network.
    """
    values = run_config(run)
    modules = {name: build_encoder(values["task"], f"{name}_encoder", run) for name in names}
    encoders = RunEncoders(modules, values)
    state = load_run(run, encoders)
    encoders.step, encoders.epoch = state["step"], state.get("epoch", 0)
    log.info("weights from %s (step %d)", config.short(run), encoders.step)
    return encoders


def run_config(run: Path) -> dict[str, Any]:
    """Read the complete config of the speech-image run of a folder or checkpoint file, or raise a ModelError."""
    folders = [run] if run.is_dir() else [run.parent, run.parent.parent]
    path = next((folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()), None)
    if path is None:
        raise ModelError(
            f"There is no trained run at {run}: expected a run folder with config.yaml and checkpoints/; train one "
            "first, or give one that exists."
        )
    try:
        values = config.parse_yaml(read_text(path), str(path))
        values = config.translated(values) if isinstance(values, dict) else {}
    except (TextError, TypeError) as error:
        raise ModelError(f"{path} is no config of a run ({error}); give another run.") from error
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
