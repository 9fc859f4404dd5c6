"""Run the semantic test of the paper: one image against negatives that each change one attribute.

``python run.py -f words_by_drawing/recall_selected.yaml``; the negatives come from a file in the published layout
(``negatives.pth.tar``), made by ``words_by_drawing/make_negatives.yaml`` or downloaded. Chance of recall@1 is 0.2.
Captions that the file has negatives for but the set does not (natural speech) are left out and counted, as published.

The public code chooses by the maximum over the image of the mean over time, and takes the frames of the caption before
pooling for those after it, so that padding counts from 1.28 s on: ``score: published``. The similarity that the model
was trained with decides by default; the recalls of both are in the metrics.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Count
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunSettings
from evaluation.choices import Choice
from gan.editing.regenerate import generate
from gan.hooks import Edit, edited, layer_named
from models.segmenter.labels import Segmenter, ready_segmenter
from published.words_by_drawing.negatives import Negative, NegativesError, read_negatives
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.choice import Score, choose, finish_choices
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, opened
from tasks.words_by_drawing.experiments.images import LatentTable
from tasks.words_by_drawing.experiments.provenance import check_origin
from tasks.words_by_drawing.experiments.scene_changes import reported_changes

log = logging.getLogger(__name__)
KS = (1, 3)


def recall_selected(
    model: ModelSource,
    data: DataNode,
    generator: nn.Module,
    segmenter: Segmenter,
    negatives: Path,
    context: Context,
    layer: str = "layer4",
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    captions: Count | None = None,
    score: Score = "similarity",
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Choose the image of each caption among itself and its stored negatives.

    Args:
        model: the trained encoders.
        data: dataset of the held-out captions.
        generator: generates the images and their negatives; the file's own one.
        segmenter: finds the region around a negative's position; the file's own one.
        negatives: file in the published layout.
        context: given by run.py.
        layer: of the generator, that the file was made for; layer4 as published, whatever was edited in training.
        latents: table of latents whose rows the captions' ids name.
        captions: number of captions of the file, all when None.
        score: it decides: the model's ``similarity``, or the ``published`` score; the other's recalls stand beside.
        run: folder of the report.

    Raises:
        UserError: weights, captions or negatives are missing or do not fit the generator.
        NegativesError: there is no file of negatives, it has another layout, not as many negatives of each id, or was
            made for another layer, generator or segmenter.
    """
    stored = _stored_negatives(negatives)
    layer_named(generator, layer)
    check_origin(negatives, layer, generator, segmenter)

    def choices(experiment: Experiment) -> Iterator[Choice]:
        rows = {experiment.images.ids[row]: row for row in range(len(experiment.dataset))}
        wanted = [name for name in stored if name in rows][: captions or len(stored)]
        absent = len(stored) - sum(name in rows for name in stored)
        if absent:
            log.info("%d of the %d images in %s have no caption in this set", absent, len(stored), negatives.name)
        if context.dry_run:
            wanted = wanted[:2]
        for name in progress(wanted, len(wanted), "captions"):
            latent = experiment.images.latents_of([rows[name]])
            candidates = regenerate_negatives(
                generator, segmenter, latent, stored[name], layer, f"{negatives}: id {name}"
            )
            labels = reported_changes(segmenter, candidates)
            yield choose(experiment, rows[name], candidates, labels, score, padding=True)

    with opened(context, run, data, model, generator, latents) as experiment:
        ready_segmenter(segmenter, experiment.device)
        title = "1 image against negatives with one attribute changed"
        finish_choices(experiment, choices(experiment), title, KS, score)


def _stored_negatives(path: Path) -> dict[str, list[Negative]]:
    """Read the negatives of each id, after checking that all have as many: recall@1 has one chance."""
    if not path.is_file():
        raise NegativesError(
            f"There is no file of negatives at {path}: make one with words_by_drawing/make_negatives.yaml, or "
            "fetch the published one with scripts/download_data.sh negatives."
        )
    stored = read_negatives(path)
    numbers = {len(rows): name for name, rows in stored.items()}
    if len(numbers) > 1:
        message = ", ".join(f"{number} for id {name}" for number, name in sorted(numbers.items()))
        raise NegativesError(
            f"{path} holds different numbers of negatives ({message}), so that there is no one chance; "
            "keep as many of each id."
        )
    return stored


@torch.no_grad()
def regenerate_negatives(
    generator: nn.Module, segmenter: Segmenter, latent: Tensor, stored: list[Negative], layer: str, name: str
) -> Tensor:
    """Generate an image from its ``latent`` (1, latent_dim) and its K - 1 ``stored`` negatives: (K, 3, R, R).

    A position outside the image or another number of units of the layer is a NegativesError about ``name``, the entry.
    """
    positive = generate(generator, latent, [layer])
    channels, rows, columns = positive.shapes[layer]
    labels = segmenter.segment(positive.images)[0]
    masks = []
    for negative in stored:
        if len(negative.units) != channels:
            raise NegativesError(
                f"{name} has {len(negative.units)} units, but {layer} of this generator has {channels}: it was made "
                "for another generator or layer."
            )
        region = same_labels(labels, negative.position, name)
        # as cv2.INTER_AREA: a cell at the border of the region is switched off by the share that lies inside
        region = F.interpolate(region[None, None].float(), (rows, columns), mode="area")[0]
        masks.append(negative.units.to(region).view(-1, 1, 1) * region)
    with edited(generator, {layer: Edit(torch.stack(masks))}):
        images = generator(latent.expand(len(stored), -1))
    return torch.cat([positive.images, images])


def same_labels(labels: Tensor, position: tuple[int, int], name: str) -> Tensor:
    """Return the pixels (H, W) bool with the same ``labels`` (L, H, W) bool as that at ``position``: row, column."""
    row, column = position
    if row >= labels.shape[1] or column >= labels.shape[2]:
        raise NegativesError(
            f"{name}: position {position} lies outside the segmented image of {labels.shape[1]} x {labels.shape[2]}: "
            "it was made for another generator or segmenter."
        )
    return (labels == labels[:, row, column][:, None, None]).all(0)
