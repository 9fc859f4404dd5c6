"""Find directions of a generator by any method: ``python run.py -f visual_vocab/directions.yaml``.

    directions.safetensors, directions.json   directions, latents, scores; layers and how they were found
    parts/                                    of a method that treats each latent for itself: what a kill leaves
    pictures/                                 strips, interpolations, animations
    report.html, metrics.json                 the same images and the scores

Shape letters as in :mod:`gan.directions.directions`.
"""

import logging
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

import config
from common import distributed
from config.limits import Count, Positive, Seed
from engine.context import Context
from engine.logs import progress, say
from engine.run_folder import RunSettings
from gan.directions.directions import DirectionMethod, Directions
from gan.directions.files import FoundDirections, load_directions, save_directions
from gan.directions.subjects import Subjects, draw_subjects
from tasks.results import results_folder, write_results
from tasks.visual_vocab.pictures import (
    PictureSettings,
    journeys_of,
    sections_of,
    strips_of,
    write_animations,
    write_pictures,
)

log = logging.getLogger(__name__)
FILE = "directions.safetensors"
PARTS = "parts"
TRIED = 2  # latents of a dry run, for methods that treat each for itself


def find(
    generator: nn.Module,
    method: DirectionMethod,
    context: Context,
    latents: Count = 64,
    part: Count = 16,
    class_: str | int | None = None,
    std: Positive = 1.0,
    truncation: Annotated[float, Field(gt=0)] | None = None,
    seed: Seed = 0,
    pictures: PictureSettings = PictureSettings(),  # noqa: B008  never changed
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Find directions and write them with images.

    Args:
        generator: with ``latent_dim`` and named layers; takes latents, or latents and classes.
        method: of ``gan.directions``.
        context: given by run.py.
        latents: Z, that directions are found from.
        part: latents treated together by a method that finds directions for each latent; a part that is there from an
            earlier call is not made again.
        class_: name or number of one class for all latents; None draws classes.
        std: standard deviation of the latents.
        truncation: largest number of a latent, in standard deviations; None for no limit.
        seed: of latents, classes and starts.
        pictures: what is shown.
        run: folder of the results.

    Raises:
        UserError: a size, a layer or a class does not fit the generator, memory is lacking for a single latent, or the
            folder holds other results.
    """
    device = distributed.pick_device()
    generator = generator.to(device).eval().requires_grad_(False)
    subjects = draw_subjects(generator, latents, seed, class_, std, truncation)
    with results_folder(context, run) as folder:
        if run.resume == "overwrite":
            shutil.rmtree(folder.path / PARTS, ignore_errors=True)
        alone = bool(getattr(method, "per_latent", False))
        if context.dry_run and alone:
            subjects = subjects.take(slice(0, TRIED))
        context.after_stop = lambda: "the same command goes on with the parts that are missing"
        size = part if alone else len(subjects.latents)
        starts = range(0, len(subjects.latents), size)
        parts = [
            _part(generator, method, subjects.take(slice(start, start + size)), seed + number, folder.path, number)
            for number, start in progress(enumerate(starts), len(starts), "parts")
        ]
        found = FoundDirections(_joined(parts), *subjects)
        if context.dry_run:
            log.info("dry run: %d sets of %d directions", *found.directions.vectors.shape[:2])
            return
        save_directions(folder.path / FILE, found, _made(generator, method, context, seed))
        titles = [f"{number} {layer}".strip() for number, layer in enumerate(found.directions.layers)]
        on = Subjects(*(None if one is None else one.to(device) for one in subjects))
        strips = list(strips_of(generator, on, found.directions.vectors.to(device), titles, pictures))
        journeys = list(journeys_of(generator, on, pictures))
        written = write_pictures(folder.path, strips, journeys)
        if pictures.latents:
            names = [f"direction_{number}" for number in range(len(titles))]
            own = found.directions.of(0).to(device)
            written += write_animations(folder.path, generator, on.take(slice(0, 1)), own, names, pictures)
        write_results(folder, context, "directions", metrics_of(found), sections_of(strips, journeys))
        for path in [folder.path / FILE, *written]:
            say(config.short(path))


def _part(
    generator: nn.Module, method: DirectionMethod, subjects: Subjects, seed: int, folder: Path, number: int
) -> Directions:
    """Find the directions of some latents, or read them where an earlier call has found them."""
    path = folder / PARTS / f"{number:05d}.safetensors"
    if path.is_file() and path.with_suffix(".json").is_file():
        found, _ = load_directions(path)
        if torch.equal(found.latents, subjects.latents):
            return found.directions
    device = next(generator.parameters()).device
    on = (None if one is None else one.to(device) for one in subjects)
    made = method.find(generator, *on, seed=seed)
    save_directions(
        path, FoundDirections(Directions(made.vectors.cpu(), made.layers, made.scores.cpu()), *subjects), {}
    )
    return load_directions(path)[0].directions


def _joined(parts: list[Directions]) -> Directions:
    """Put the sets of several parts into one."""
    vectors, scores = (torch.cat([getattr(one, name) for one in parts]) for name in ("vectors", "scores"))
    return Directions(vectors, parts[0].layers, scores)


def _made(generator: nn.Module, method: DirectionMethod, context: Context, seed: int) -> dict[str, Any]:
    """Return how directions were found, as plain values for a card."""
    return {
        "generator": context.values.get("generator", type(generator).__name__),
        "method": context.values.get("method", type(method).__name__),
        "seed": seed,
        "command": " ".join(context.command),
    }


def metrics_of(found: FoundDirections) -> dict[str, float]:
    """Return how many directions there are, each layer's mean score, and how far from orthogonal they are.

    The last is the largest absolute cosine of two directions of different layers in one set.
    """
    directions = found.directions
    metrics = {"sets": float(len(directions.vectors)), "directions": float(len(directions.layers))}
    for layer in dict.fromkeys(directions.layers):
        columns = [number for number, one in enumerate(directions.layers) if one == layer]
        metrics[f"score/{layer or 'any layer'}"] = directions.scores[:, columns].mean().item()
    overlap = (directions.vectors @ directions.vectors.mT).abs()
    same = torch.tensor([[one == other for other in directions.layers] for one in directions.layers])
    metrics["largest_cosine_between_layers"] = overlap.masked_fill(same, 0).max().item()
    return metrics
