"""Turn trainings of system 3 into a model that is read without them, such as the one that comes with the project.

    python run.py -f attngan/export.yaml

One file holds the text encoder, the generator (the average of its weights) and the image encoder of the matching model
that trained it, which judges images.
"""

import logging
from pathlib import Path
from typing import Any

import config
from common.errors import UserError
from engine.context import Context
from engine.init_from import read_checkpoint
from evaluation.report.retrieval import read_metrics
from models.weights import weights_digest
from tasks.attngan.trained import GENERATOR, IMAGE, TEXT, TextImageSource, TrainedError, load, save_export

log = logging.getLogger(__name__)
ON_CARD = ("description", "data", "prepare", "task", "trainer", "seed")  # of a run's config


def export(
    output: Path,
    damsm: Path,
    context: Context,
    generator: Path | None = None,
    scores: Path | None = None,
) -> None:
    """Write networks with a card: words, sizes, configs, seeds, images seen and figures.

    Args:
        output: the card, ``NAME.json``; weights are written beside it as ``NAME.safetensors``.
        damsm: run folder of the matching model.
        context: given by run.py.
        generator: run folder of the generator; without one the matching model alone is written.
        scores: ``metrics.json`` of attngan/score.yaml on images of this generator, whose figures the card lists.

    Raises:
        UserError: a run is missing or damaged, or the generator was trained with another matching model.
    """
    matching = load(TextImageSource(run=damsm))
    networks, nodes = dict(matching.networks), dict(matching.description["networks"])
    trainings = {"matching model": _training(damsm)}
    if generator is not None:
        found = load(TextImageSource(run=generator), (TEXT, GENERATOR))
        if weights_digest(found.networks[TEXT]) != weights_digest(networks[TEXT]):
            raise TrainedError(f"{generator} reads captions by another text encoder than {damsm} has: give its own")
        networks[GENERATOR], nodes[GENERATOR] = found.networks[GENERATOR], found.description["networks"][GENERATOR]
        trainings["generator"] = _training(generator)
    about: dict[str, Any] = {"kind": "attngan", "trainings": trainings, "how": "python run.py -f attngan/export.yaml"}
    if scores is not None:
        about["scores"] = _figures(scores)
    if context.dry_run:
        log.info("dry run: %s", ", ".join(networks))
        return
    order = [name for name in (TEXT, IMAGE, GENERATOR) if name in networks]
    output.parent.mkdir(parents=True, exist_ok=True)
    weights = save_export(output, {n: networks[n] for n in order}, matching.words, {n: nodes[n] for n in order}, about)
    log.info("wrote %s (%.1f MB) and %s", config.short(weights), weights.stat().st_size / 1e6, config.short(output))


def _training(run: Path) -> dict[str, Any]:
    """Return how the weights of a run came about."""
    file, state = read_checkpoint(run)
    values = config.translated(config.parse_yaml(state["config"], str(file)))
    metrics = run / "metrics.json"
    return {
        "steps": state["step"],
        "images_seen": state["step"] * values["data"]["batch_size"],
        "training_minutes": round(state["seconds"] / 60, 1),
        "config": {key: values[key] for key in ON_CARD if key in values},
        "metrics": _figures(metrics) if metrics.is_file() else None,
    }


def _figures(path: Path) -> Any:
    try:
        return read_metrics(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read as figures ({error}): measure again") from error
