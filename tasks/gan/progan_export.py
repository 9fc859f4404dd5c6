"""Turn a training of ``tasks/gan/progan.py`` into a generator that comes with the project.

    python run.py -f gan/export.yaml run_folder=runs/gan/progan_world_cpu

Takes the moving average of the generator, in its published form at the resolution that was reached.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import config
from common.errors import UserError
from common.files import written_whole
from config.limits import Count
from datasets.world.renders import Renders
from engine.context import Context
from engine.init_from import read_checkpoint
from evaluation.frechet import FeatureNetwork, FrechetDistance, features_of, frechet_distance, to_uint8
from gan import shipped
from gan.latents import latents
from gan.progan.generator import ProganGenerator
from gan.progan.growing import GrowingGenerator
from gan.progan.schedule import Growth, Phase
from tasks.gan.sheets import tiled

log = logging.getLogger(__name__)

BATCH = 100
SHOWN, COLUMNS = 96, 12  # images in the image of samples, and in each of its rows


def averaged_generator(state: dict[str, Any], source: Path) -> tuple[ProganGenerator, dict[str, Any]]:
    """Return the averaged generator of a checkpoint in its published form, and the run's config.

    ``source`` names the file in the error about a checkpoint of another task.
    """
    values = config.translated(config.parse_yaml(state["config"], str(source)))
    averaged = state["averages"].get("generator") or state["modules"].get("generator")
    node = values.get("task", {}).get("generator", {})
    if averaged is None or not {"latent_dim", "widths"} <= node.keys():
        raise UserError(f"{source} is no checkpoint of tasks.gan.progan.Progan; give the folder of such a run")
    growing = GrowingGenerator(node["latent_dim"], node["widths"])
    growing.load_state_dict({k.removeprefix("module."): v for k, v in averaged.items() if k != "n_averaged"})
    stage, alpha = growing.reached.tolist()
    return growing.export(int(stage) if alpha >= 1 or stage == 0 else int(stage) - 1), values


def export(
    run_folder: Path,
    data: Path,
    features: list[FeatureNetwork],
    context: Context,
    images: Count = 5000,
    name: str = "progan_world",
    folder: Path = shipped.FOLDER,
    samples: Path | None = None,
) -> None:
    """Write a generator with its config, seed, training images seen and Fréchet distance to held-out renders.

    Args:
        run_folder: of the training, or a checkpoint.
        data: folder of the renders it was trained on, whose validation split is compared with.
        features: networks whose features of images are compared; each gives a figure.
        context: given by run.py.
        images: generated images that are compared.
        name: of the files written.
        folder: folder of these files.
        samples: file for an image of samples, none by default.

    Raises:
        UserError: there is no such checkpoint, or no such renders.
    """
    found, state = read_checkpoint(run_folder)
    model, values = averaged_generator(state, found)
    renders = Renders(data)
    trainings = history(state, values)
    seen = sum(training["images_seen"] for training in trainings)
    with torch.no_grad():
        table = latents(images, model.latent_dim)
        generated = torch.cat([to_uint8(model(part)) for part in table.split(BATCH)])
    real = [resized(batch, model.resolution) for batch in renders.validation_batches(BATCH)]
    figures = [measured(generated, real, network) for network in features]
    log.info("step %d, %d real images seen: %s", state["step"], seen, "; ".join(map(str, figures)))
    if context.dry_run:
        return
    made = {
        "kind": "progan",
        "images_seen": seen,
        "frechet_distances": [figure.as_dict() for figure in figures],
        "trainings": trainings,
        "how": "python run.py -f gan/export.yaml, from the moving average of the weights",
    }
    path = shipped.save(model, name, made, folder)
    log.info("wrote %s (%.1f MB)", path, path.stat().st_size / 1e6)
    if samples is not None:
        image = Image.fromarray(tiled(generated[:SHOWN], COLUMNS))
        with written_whole(samples) as temporary, temporary.open("wb") as file:
            image.save(file, Image.registered_extensions().get(samples.suffix.lower(), "PNG"))


def history(state: dict[str, Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how a checkpoint came about: the trainings whose weights it started from, and last its own."""
    stage = Growth([Phase(**phase) for phase in values["task"]["phases"]]).at(state["step"])
    training = {
        "images_seen": stage.images,
        "steps": state["step"],
        "training_minutes": round(state["seconds"] / 60, 1),
        "seed": values.get("seed", 0),
        "config": {key: values[key] for key in ("description", "prepare", "task", "trainer") if key in values},
    }
    if not values.get("init_from"):
        return [training]
    found, earlier = read_checkpoint(config.resolve_path(values["init_from"]["path"]))
    return [*history(earlier, config.translated(config.parse_yaml(earlier["config"], str(found)))), training]


def measured(generated: torch.Tensor, real: list[torch.Tensor], network: FeatureNetwork) -> FrechetDistance:
    """Return the Fréchet distance of images (N, 3, R, R) uint8 and batches (B, 3, R, R) uint8, with its protocol."""
    a, b = features_of(generated.split(BATCH), network), features_of(real, network)
    return frechet_distance(a, b, network, generated.shape[-1])


def resized(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Shrink uint8 ``images`` (B, 3, S, S) to ``resolution`` pixels by averaging, (B, 3, R, R) uint8."""
    return torch.nn.functional.adaptive_avg_pool2d(images.float(), resolution).round().to(torch.uint8)
