"""Turn a training of LatteGAN into a model that is read without it, such as the one that comes with the project.

``python run.py -f lattegan/export.yaml`` writes the averaged weights of the best step, the text encoder with its words,
the empty scene, and the localiser that scored the training beside them. ``init_from.path=NAME.json`` trains on.
"""

import logging
from pathlib import Path
from typing import Any

import config
from common.errors import UserError
from datasets.dialogue.records import DialogueFile, scaled
from datasets.dialogue.texts import WordVectors
from engine.context import Context
from engine.init_from import read_checkpoint
from evaluation.report.retrieval import read_metrics
from models.instruction_encoders import GruInstructionEncoder
from models.object_localizer import load_localizer, save_localizer
from models.weights import read_card
from tasks.lattegan.exported import TEXT, save_export, text_node
from tasks.lattegan.turn_by_turn.model import network_nodes, of_run

log = logging.getLogger(__name__)
ON_CARD = ("description", "data", "task", "trainer", "seed", "init_from")  # of a run's config


def export(
    output: Path,
    run: Path,
    encoder: GruInstructionEncoder,
    texts: WordVectors,
    dialogues: Path,
    context: Context,
    text_run: Path | None = None,
    localizer: Path | None = None,
    scores: Path | None = None,
) -> None:
    """Write what draws, with a card: words, sizes, configs, seeds, images seen and figures.

    Args:
        output: the card, ``NAME.json``; weights are written beside it as ``NAME.safetensors``.
        run: run folder of tasks.lattegan.task.Lattegan, or one of its checkpoints.
        encoder: of instructions.
        texts: reads them for it.
        dialogues: HDF5 of dialogues, for the empty scene and the classes of objects.
        context: given by run.py.
        text_run: run folder of tasks.lattegan.tirg.TirgTraining whose best weights the encoder gets.
        localizer: ``.safetensors`` of the localiser, written as ``NAME_localizer``; None leaves it out.
        scores: ``metrics.json`` of lattegan/score.yaml or of a run, whose figures the card lists.

    Raises:
        UserError: a run is missing or damaged, or the parts do not fit one another.
    """
    model = of_run(run, encoder, texts, dialogues, text_run)
    file, (_, nodes) = DialogueFile(dialogues), network_nodes(run, encoder, dialogues)
    found = {**model.networks._asdict(), TEXT: encoder}
    nodes |= {TEXT: text_node(encoder)}
    about: dict[str, Any] = {
        "how": "python run.py -f lattegan/export.yaml",
        "classes": file.classes,
        "trainings": {"drawing": training(run)} | ({} if text_run is None else {TEXT: training(text_run)}),
    }
    if scores is not None:
        about["scores"] = _figures(scores)
    if context.dry_run:
        log.info("dry run: %s", ", ".join(found))
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    size = model.networks.generator.resolution
    background = scaled(file.background[None], size)[0]
    weights = save_export(output, found, nodes, texts, file.corpus, background, about)
    log.info("wrote %s (%.1f MB) and %s", config.short(weights), weights.stat().st_size / 1e6, config.short(output))
    if localizer is not None:
        card = read_card(localizer.with_suffix(".json"), "give the localiser that lattegan/localizer_world.yaml writes")
        about = {key: value for key, value in card.items() if key not in ("trunk", "num_coords", "hidden", "classes")}
        beside = output.with_name(f"{output.stem}_localizer.safetensors")
        save_localizer(load_localizer(localizer), beside, card["classes"], about)
        log.info("wrote %s (%.1f MB)", config.short(beside), beside.stat().st_size / 1e6)


def training(source: Path) -> dict[str, Any]:
    """Return how the weights of a run or of an export came about."""
    if source.suffix == ".json":
        return read_card(source, "give a run folder").get("trainings", {}).get("drawing", {})
    file, state = read_checkpoint(source)
    values = config.translated(config.parse_yaml(state["config"], str(file)))
    metrics = source / "metrics.json"
    start = values.get("init_from")
    return {
        "steps": state["step"],
        "turns_seen": state["step"] * values["data"]["batch_size"],
        "training_minutes": round(state["seconds"] / 60, 1),
        "config": {key: values[key] for key in ON_CARD if key in values},
        "metrics": _figures(metrics) if metrics.is_file() else None,
        "began_from": None if start is None else _before(config.resolve_path(Path(start["path"]))),
    }


def _before(source: Path) -> Any:
    """Return how the weights that a training began from came about, or where they were."""
    ours = source.exists() and (source.is_dir() or source.suffix in (".json", ".pt"))
    return training(source) if ours else config.short(source)


def _figures(path: Path) -> Any:
    try:
        return read_metrics(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read as figures ({error}): measure again") from error
