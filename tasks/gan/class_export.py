"""Turn a training of ``tasks/gan/conditional.py`` into a generator that comes with the project.

    python run.py -f gan/export_classes.yaml

Takes the moving average of the generator; batch norms get standing statistics.
"""

import json
import logging
from pathlib import Path

import config
from common.errors import UserError
from common.files import write_whole
from common.text_files import read_text
from datasets.media_files import encode_image
from engine.context import Context
from engine.init_from import read_checkpoint
from gan import shipped
from gan.biggan.latents import draw
from models.weights import read_card
from tasks.gan.class_networks import DESCRIPTION, GENERATOR, load_network, settle
from tasks.gan.sheets import drawn, shown_classes, tiled

log = logging.getLogger(__name__)
COLUMNS, SHOWN = 12, 96  # images in a row of the sheet, and on it


def export(
    run_folder: Path,
    context: Context,
    scores: Path | None = None,
    name: str = "r3gan_world",
    folder: Path = shipped.FOLDER,
    samples: Path | None = None,
) -> None:
    """Write a generator of classes with its config, seed, training images seen and measures.

    Args:
        run_folder: of the training.
        context: given by run.py.
        scores: ``metrics.json`` of gan/score_classes.yaml, kept with the generator; None keeps none.
        name: of the files written.
        folder: folder of these files.
        samples: file (PNG) for a sheet of 96 images, none of them chosen; None for none.

    Raises:
        UserError: there is no such training, or no such scores.
    """
    trained = load_network(run_folder, GENERATOR)
    settle(trained.network)
    _, state = read_checkpoint(run_folder)
    values = config.translated(config.parse_yaml(state["config"], str(run_folder)))
    node = read_card(run_folder / DESCRIPTION, "start the run again")["networks"][GENERATOR]
    steps, task = state["step"], values["task"]
    accumulation = task.get("accumulation") or {}
    batches = accumulation.get("discriminator_steps", 1) * accumulation.get("discriminator", 1)
    made = {
        "kind": "class-conditional",
        "images_seen": steps * batches * values["data"]["batch_size"],
        "steps": steps,
        "training_minutes": round(state["seconds"] / 60, 1),
        "seed": values.get("seed", 0),
        "scores": None if scores is None else _scores(scores),
        "config": {key: values[key] for key in ("description", "prepare", "data", "task", "trainer") if key in values},
        "how": "python run.py -f gan/export_classes.yaml, from the moving average of the weights",
    }
    if context.dry_run:
        log.info("dry run: %d steps, %d images seen", steps, made["images_seen"])
        return
    path = shipped.save_of_classes(trained.network, name, node, trained.class_names, made, folder)
    log.info("wrote %s (%.1f MB)", path, path.stat().st_size / 1e6)
    if samples is not None:
        rows = shown_classes(len(trained.class_names))
        each = -(-SHOWN // len(rows))
        classes = rows.repeat_interleave(each)[:SHOWN]
        images = drawn(trained.network, draw(trained.network, len(classes), seed=0).latents, classes, "cpu")
        write_whole(samples, encode_image(tiled(images, COLUMNS), "png"))


def _scores(path: Path) -> dict[str, float]:
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise UserError(f"scores: {path} cannot be read ({error}); run gan/score_classes.yaml first") from error
