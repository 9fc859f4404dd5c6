"""Measure recall among an image and nine edited negatives: ``python run.py -f words_by_drawing/recall.yaml``.

Published as the experiment ``recall`` of surisdi/learning-by-drawing (``experiments.py``): 200 captions, each unit of
each layer is switched off with a probability that starts at 0.4. After each attempt it rises by 0.05 with probability
0.8; otherwise the change that is asked for falls by 0.01. Here the nine negatives of a caption are generated together,
each with a probability of its own, and may also be edited with a run's clusters, the first with the nearest cluster,
the second with the one after, and so on. The public code takes the frames of the caption before pooling for those after
it, so that padding has a part in its scores and regions, and compares each image of a batch with the sound of the
first; here each caption has its own sound and frames.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from config.limits import Chance, Count, CountOrZero, Seed
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunSettings
from evaluation.choices import Choice
from gan.editing.regenerate import Positives, generate
from gan.editing.regions import BORDER, heat
from gan.hooks import layer_named
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.choice import choose, finish_choices
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, opened
from tasks.words_by_drawing.experiments.images import LatentTable
from tasks.words_by_drawing.experiments.run_clusters import clusters_of_run
from tasks.words_by_drawing.negatives import edit

KS = (1, 5)


def recall(
    model: ModelSource,
    data: DataNode,
    generator: nn.Module,
    context: Context,
    layers: list[str],
    edits: Literal["random", "clusters"] = "random",
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    captions: Count | None = 200,
    negatives: Count = 9,
    probability: Annotated[float, Field(gt=0, le=1)] = 0.4,
    probability_step: Chance = 0.05,
    max_retries: CountOrZero = 19,
    border: CountOrZero = BORDER,
    seed: Seed = 0,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Choose the image of each caption among itself and negatives edited in the region of highest similarity.

    Args:
        model: the trained encoders, which also say where to edit.
        data: dataset of the held-out captions.
        generator: generates the images and their negatives.
        context: given by run.py.
        layers: of the generator, whose units are switched off.
        edits: with random units as published, or with those of the run's clusters.
        latents: table of latents whose rows the captions' ids name.
        captions: number of captions, 200 as published; None for all.
        negatives: of each caption.
        probability: of each unit to be switched off at the first attempt, 0.4 as published; not for clusters.
        probability_step: by which it rises after an attempt, with probability 0.8; 0.05 as published.
        max_retries: attempts after the first until an image has changed enough.
        border: cells around the connected region of the strongest cell that are edited too; 1 as published.
        seed: of the edits.
        run: folder of the report.

    Raises:
        UserError: weights, captions or layers are missing or do not fit.
    """
    for layer in layers:
        layer_named(generator, layer)
    source = torch.Generator().manual_seed(seed)
    clusters = clusters_of_run(model, layers) if edits == "clusters" else None

    def choices(experiment: Experiment) -> Iterator[Choice]:
        rows = experiment.rows(captions)
        for row in progress(rows, len(rows), "captions"):
            one = generate(generator, experiment.images.latents_of([row]), layers)
            maps, features = _maps_and_features(experiment, row, one)
            repeated = Positives(*(_repeated(values, negatives) for values in one[:2]), one.shapes)
            found, features = heat(_repeated(maps, negatives)), _repeated(features, negatives)
            edited = edit(
                generator, repeated, found, features, clusters, source, apart=True, probability=probability,
                probability_step=probability_step, max_retries=max_retries, border=border,
            )  # fmt: skip
            candidates = torch.cat([one.images, edited.images])
            yield choose(experiment, row, candidates, [f"edited: changed by {change:.2f}" for change in edited.change])

    with opened(context, run, data, model, generator, latents, seed) as experiment:
        finish_choices(experiment, choices(experiment), f"1 image against {negatives} edited ones", KS)


def _maps_and_features(experiment: Experiment, row: int, image: Positives) -> tuple[Tensor, Tensor]:
    """Return the matchmap (1, H, W, T) of a caption and its one image, and the image's features (1, D, H, W)."""
    sample = experiment.dataset[row]
    maps, _ = experiment.model.matchmap(image.images[0], sample["mel"], sample["nframes"])
    return maps.to(experiment.device)[None], experiment.model.encode_images(image.images)


def _repeated(values: Tensor, count: int) -> Tensor:
    """Repeat the only row ``count`` times, without a copy."""
    return values.expand(count, *[-1] * (values.dim() - 1))
