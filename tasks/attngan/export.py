"""Turn trainings of system 3 into a model that is read without them, such as the one that comes with the project.

    python run.py -f attngan/export.yaml

One file holds the text encoder, the generator (the average of its weights), the image encoder of the matching model
that trained it, which judges images, and the discriminators, so that another training can start from it
(``init_from.path=NAME.json``).
"""

import logging
from pathlib import Path
from typing import Any

import config
from common.errors import UserError
from engine.context import Context
from engine.init_from import read_checkpoint
from evaluation.report.retrieval import read_metrics
from models.weights import read_card, weights_digest
from tasks.attngan.trained import GENERATOR, IMAGE, REMEDY, TEXT, TextImageSource, TrainedError, load, save_export

log = logging.getLogger(__name__)
MATCHING = "matching model"
ON_CARD = ("description", "data", "prepare", "task", "trainer", "seed", "init_from")  # of a run's config


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
        damsm: run folder of the matching model, or an export with one.
        context: given by run.py.
        generator: run folder of the generator; without one the matching model alone is written.
        scores: ``metrics.json`` of attngan/score.yaml on images of this generator, whose figures the card lists.

    Raises:
        UserError: a run is missing or damaged, or the generator was trained with another matching model.
    """
    matching = load(TextImageSource(run=damsm))
    networks = dict(matching.networks)
    nodes = {name: matching.description["networks"][name] for name in networks}
    trainings = {MATCHING: _training(damsm, MATCHING)}
    if generator is not None:
        found = load(TextImageSource(run=generator), (TEXT, GENERATOR))
        if weights_digest(found.networks[TEXT]) != weights_digest(networks[TEXT]):
            raise TrainedError(f"{generator} reads captions by another text encoder than {damsm} has: give its own")
        networks[GENERATOR], nodes[GENERATOR] = found.networks[GENERATOR], found.description["networks"][GENERATOR]
        players = [name for name in found.description["networks"] if name.startswith("discriminator_")]
        if players:
            networks |= load(TextImageSource(run=generator), players).networks
            nodes |= {name: found.description["networks"][name] for name in players}
        trainings[GENERATOR] = _training(generator, GENERATOR)
    about: dict[str, Any] = {"kind": "attngan", "trainings": trainings, "how": "python run.py -f attngan/export.yaml"}
    if scores is not None:
        about["scores"] = _figures(scores)
    if context.dry_run:
        log.info("dry run: %s", ", ".join(networks))
        return
    order = [name for name in dict.fromkeys((TEXT, IMAGE, GENERATOR, *networks)) if name in networks]
    output.parent.mkdir(parents=True, exist_ok=True)
    weights = save_export(output, {n: networks[n] for n in order}, matching.words, {n: nodes[n] for n in order}, about)
    log.info("wrote %s (%.1f MB) and %s", config.short(weights), weights.stat().st_size / 1e6, config.short(output))


def _training(source: Path, part: str) -> dict[str, Any]:
    """Return how the weights of a run, of a checkpoint, or of one part of an export came about."""
    if source.suffix == ".json":
        return read_card(source, REMEDY).get("trainings", {}).get(part, {})
    file, state = read_checkpoint(source)
    values = config.translated(config.parse_yaml(state["config"], str(file)))
    metrics = source / "metrics.json"
    start = values.get("init_from")
    before = None if start is None else config.resolve_path(Path(start["path"]))
    return {
        "steps": state["step"],
        "images_seen": state["step"] * values["data"]["batch_size"],
        "training_minutes": round(state["seconds"] / 60, 1),
        "config": {key: values[key] for key in ON_CARD if key in values},
        "metrics": _figures(metrics) if metrics.is_file() else None,
        "began_from": None if before is None else _before(before, part),
    }


def _before(source: Path, part: str) -> Any:
    """Return how the weights that a training began from came about, or where they were."""
    ours = source.exists() and (source.is_dir() or source.suffix in (".json", ".pt"))
    return _training(source, part) if ours else config.short(source)


def _figures(path: Path) -> Any:
    try:
        return read_metrics(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read as figures ({error}): measure again") from error
