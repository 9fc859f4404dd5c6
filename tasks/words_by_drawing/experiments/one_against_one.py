"""Put one image against one negative that no generator made: ``python run.py -f words_by_drawing/test_synthetic.yaml``.

Published as test_synthetic: rendered or stored negatives; of several one is drawn at random. Chance is one half. The
public code chooses by the maximum over the image of the mean over the caption's frames: ``score: published``. The
similarity that the model was trained with decides by default; the recalls of both are in the metrics.
"""

from collections.abc import Iterator

import torch
from torch import nn

from config.limits import Count, Seed
from datasets.spoken_captions.records import rows_by_uttid
from datasets.world.scene.random_stream import Draws
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunSettings
from evaluation.choices import Choice
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.choice import Score, choose, finish_choices
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, opened
from tasks.words_by_drawing.experiments.images import LatentTable, from_u8
from tasks.words_by_drawing.experiments.negative_images import NegativeImages, StoredNegatives


def one_against_one(
    model: ModelSource,
    data: DataNode,
    negatives: NegativeImages,
    context: Context,
    generator: nn.Module | None = None,
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    captions: Count | None = None,
    seed: Seed = 0,
    score: Score = "similarity",
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Choose the image of each caption between itself and one negative.

    Args:
        model: the trained encoders.
        data: dataset of the held-out captions.
        negatives: gives the negatives of an image.
        context: given by run.py.
        generator: makes the captions' own images; None to read files.
        latents: table of latents whose rows the captions' ids name.
        captions: number of captions, all when None.
        seed: of what is drawn.
        score: it decides: the model's ``similarity``, or the ``published`` score; the other's recalls stand beside.
        run: folder of the report.

    Raises:
        UserError: weights, captions or negatives are missing.
    """

    def choices(experiment: Experiment) -> Iterator[Choice]:
        rows = experiment.rows(captions)
        if isinstance(negatives, StoredNegatives):
            rows_by_uttid([experiment.dataset.record(row) for row in rows], experiment.dataset.source)
        for row in progress(rows, len(rows), "captions"):
            own = experiment.images.images([row])[0].cpu()
            found = negatives(experiment.dataset.record(row), experiment.image_u8(row), seed * 1_000_003 + row)
            chosen = Draws(seed, row).pick(found)
            candidates = torch.stack([own, from_u8(chosen.image)])
            yield choose(experiment, row, candidates, [chosen.label], score)

    with opened(context, run, data, model, generator, latents, seed) as experiment:
        finish_choices(experiment, choices(experiment), "1 image against 1 negative", (1,), score)
