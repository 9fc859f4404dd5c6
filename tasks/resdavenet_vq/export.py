"""Write a trained speech encoder as two small files: ``python run.py -f resdavenet_vq/export.yaml``."""

import logging
from pathlib import Path
from typing import Any

import torch

import config
from common.errors import UserError
from engine.context import Context
from engine.init_from import read_checkpoint
from engine.run_folder import RunFolder
from evaluation.report.retrieval import read_metrics
from tasks.resdavenet_vq.encoder_file import NODE, save_encoder
from tasks.resdavenet_vq.layers import load_speech
from tasks.speech_image.trained import ModelSource, run_config

log = logging.getLogger(__name__)


def export(
    run: Path,
    output: Path,
    context: Context,
    made_by: str | None = None,
) -> None:
    """Write the speech encoder of a training run, what it is, how it was made, and what was measured of it.

    The figures are those of ``metrics.json`` in the run folder, and in the folders below its ``tests/``, where a
    comparison of trainings puts them.

    Args:
        run: a run folder of a speech-image or words-by-drawing task (its best weights), or one of its checkpoint files.
        output: the ``.json``; the ``.safetensors`` goes beside it.
        context: given by run.py.
        made_by: the commands that made the run, for readers.

    Raises:
        UserError: there is no such run, or ``output`` is not named as it must be.
    """
    if output.suffix != ".json":
        raise UserError(f"output: found {output.name}; expected a name that ends in .json")
    values, (_, state) = run_config(run), read_checkpoint(run)
    model = load_speech(ModelSource(run=run), torch.device("cpu"))
    if context.dry_run:
        log.info("dry run: %d weights, nothing was written", sum(v.numel() for v in model.speech.state_dict().values()))
        return
    card = {
        NODE: values["task"][NODE],
        "made_by": made_by,
        "seed": values.get("seed"),
        "step": state["step"],
        "prepare": _without_folder(values.get("prepare")),
        "figures": _figures(run if run.is_dir() else run.parent.parent),
    }
    weights = save_encoder(model.speech, output, card)
    log.info("wrote %s (%.1f MB)", config.short(weights), weights.stat().st_size / 1e6)


def _figures(folder: Path) -> dict[str, dict[str, float | None]]:
    """Read what was measured of a run."""
    own = RunFolder(folder).metrics
    files = {"training": own} | {path.parent.name: path for path in sorted(folder.glob(f"tests/*/{own.name}"))}
    return {name: read_metrics(path) for name, path in files.items() if path.is_file()}


def _without_folder(node: Any) -> Any:
    """Leave out where data were kept."""
    if not isinstance(node, dict):
        return node
    return {name: _without_folder(value) for name, value in node.items() if name != "folder"}
