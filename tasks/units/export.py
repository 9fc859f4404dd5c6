"""Write a trained speech encoder as two small files: ``python run.py -f resdavenet_vq/export.yaml``."""

import json
import logging
from pathlib import Path
from typing import Any

import torch

import config
from engine.context import Context
from engine.errors import UserError
from engine.initialise import read_checkpoint
from tasks.trained_run import run_config
from tasks.units.encoder_file import NODE, save_encoder
from tasks.units.model import SpeechSource, load_speech

log = logging.getLogger(__name__)


def export(
    run: Path,
    output: Path,
    made_by: str,
    context: Context,
    figures: dict[str, Path | None] = {},  # noqa: B006  never changed
) -> None:
    """Write the speech encoder of a training run, what it is and how it was made.

    Args:
        run: a run folder of a speech-image or drawing task (its best weights), or one of its checkpoint files.
        output: the ``.json``; the ``.safetensors`` goes beside it.
        made_by: the commands that made the run, for readers.
        context: given by run.py.
        figures: files of metrics that are quoted, by name; null leaves one out that a config names.

    Raises:
        UserError: there is no such run, or a file of metrics cannot be read.
    """
    if output.suffix != ".json":
        raise UserError(f"output: found {output.name}; expected a name that ends in .json")
    quoted = {name: _metrics(path) for name, path in figures.items() if path is not None}
    values, (_, state) = run_config(run), read_checkpoint(run)
    model = load_speech(SpeechSource(run=run), torch.device("cpu"))
    if context.dry_run:
        log.info("dry run: %d weights, nothing was written", sum(v.numel() for v in model.speech.state_dict().values()))
        return
    card = {
        NODE: values["task"][NODE],
        "made_by": made_by,
        "seed": values.get("seed"),
        "step": state["step"],
        "prepare": _without_folder(values.get("prepare")),
        "figures": quoted,
    }
    weights = save_encoder(model.speech, output, card)
    log.info("wrote %s (%.1f MB)", config.short(weights), weights.stat().st_size / 1e6)


def _metrics(path: Path) -> dict[str, float]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"figures: {path} cannot be read ({error}); expected a metrics.json") from error


def _without_folder(node: Any) -> Any:
    """Leave out where data were kept."""
    if not isinstance(node, dict):
        return node
    return {name: _without_folder(value) for name, value in node.items() if name != "folder"}
