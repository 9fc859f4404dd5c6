"""Choose pairs for annotators: ``python run.py -f words_by_drawing/generate_active_learning.yaml``.

Every training image is edited as in training (units of the cluster nearest to the feature at the strongest cell), and
the pairs are ranked by how well the edited image still responds to the caption. The worst ones are written for
annotators, in the layout of datasets/spoken_captions/active_learning.py, which also says how their captions come into
training. A second selection from a set with such captions leaves them out: a selection holds edits of unedited images
alone. Published: surisdi/learning-by-drawing ``active_learning.py``; edits of one layer only, 3,000 pairs.
"""

import logging
import shutil
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from config.limits import BatchSize, Count, CountOrZero, Seed, Weight
from datasets.media_files import encode_image, write_media
from datasets.spoken_captions.active_learning import ActivePair, write_active
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.choices import Choice
from evaluation.report.choices import choices_section
from gan.clusters.clustering import save_clusters
from gan.editing.regenerate import generate
from gan.editing.regions import BORDER, heat, resized_region
from gan.hooks import layer_named
from gan.images import to_uint8
from losses import edited_negatives_each
from models.matchmap import matchmaps
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.cluster_buffers import FoundClusters
from tasks.words_by_drawing.cluster_report import FILE
from tasks.words_by_drawing.clustering import CLUSTER_FOLDER
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, in_batches, opened, write_table
from tasks.words_by_drawing.experiments.images import LatentTable
from tasks.words_by_drawing.experiments.run_clusters import clusters_of_run
from tasks.words_by_drawing.negatives import edit

log = logging.getLogger(__name__)
SHOWN = 12


class Edited(NamedTuple):
    """One edited pair: its row of the dataset, its loss, how it was made, and its image (R, R, 3) uint8."""

    row: int
    loss: float
    pair: ActivePair
    image: np.ndarray


def generate_active_learning(
    model: ModelSource,
    data: DataNode,
    generator: nn.Module,
    context: Context,
    layer: str = "layer4",
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    units: Literal["clusters", "random"] = "clusters",
    pairs: Count = 3000,
    batch_size: BatchSize = 16,
    margin: Weight = 1.0,
    max_retries: CountOrZero = 19,
    border: CountOrZero = BORDER,
    seed: Seed = 0,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Write the pairs whose edited images fool the model most, for annotators.

    Args:
        model: the trained encoders; a run with clusters unless ``units`` is random.
        data: dataset of the training captions.
        generator: generates the images and their negatives.
        context: given by run.py.
        layer: of the generator, whose units are switched off; the same in training before and after.
        latents: table of latents whose rows the captions' ids name.
        units: chosen by the run's clusters as published, or at random.
        pairs: number of pairs written, 3,000 as published.
        batch_size: pairs edited at a time.
        margin: of the loss; it moves all losses alike.
        max_retries: attempts after the first until an image has changed enough.
        border: cells around the connected region of the strongest cell that are edited too; 1 as published.
        seed: of the edits.
        run: folder of the selection: the run folder is what ``task.objective.negatives.active_learning`` takes.

    Raises:
        UserError: weights, clusters, captions or the layer are missing or do not fit.
    """
    layer_named(generator, layer)
    with opened(context, run, data, model, generator, latents, seed) as experiment:
        clusters = clusters_of_run(model, [layer]) if units == "clusters" else None
        chosen: list[Edited] = []
        for edited in edit_all(experiment, generator, layer, clusters, batch_size, margin, max_retries, seed, border):
            chosen.append(edited)
            if len(chosen) >= 2 * pairs + 1000:  # images of all training pairs would not fit in memory
                chosen = _largest(chosen, pairs)
        _write(experiment, _largest(chosen, pairs), layer, units, model)
        if clusters is not None:  # training with the captions collected goes on with the same clusters
            save_clusters(clusters.clusters, experiment.folder.path / CLUSTER_FOLDER / FILE)


@torch.no_grad()
def edit_all(
    experiment: Experiment,
    generator: nn.Module,
    layer: str,
    clusters: FoundClusters | None,
    batch_size: int,
    margin: float,
    max_retries: int,
    seed: int,
    border: int = BORDER,
) -> Iterator[Edited]:
    """Edit the image of every caption once, in order, and measure the loss; without ``clusters`` units are random."""
    model = experiment.model
    for batch in in_batches(experiment.rows(None), batch_size, "edited batches"):
        positives = generate(generator, experiment.images.latents_of(batch), [layer])
        speech = experiment.encode_speech(batch)
        maps = model.encode_images(positives.images)
        found = heat(matchmaps(maps, speech.features), speech.nframes)
        source = torch.Generator().manual_seed(seed * 1_000_003 + batch[0])
        edits = edit(generator, positives, found, maps, clusters, source, max_retries=max_retries, border=border)
        before = model.similarity.aligned(maps, speech)
        after = model.similarity.aligned(model.encode_images(edits.images), speech)
        losses = edited_negatives_each(before, after, margin)
        image_size, layer_size = tuple(positives.images.shape[2:]), positives.shapes[layer][1:]
        wanted = ((edits.masks, image_size), (edits.measured, image_size), (edits.masks, layer_size))
        maps_of = [resized_region(masks, size, found.peaks).float().cpu().numpy() for masks, size in wanted]
        for slot, row in enumerate(batch):
            switched = torch.nonzero(edits.units[layer][slot])[:, 0].cpu().numpy()
            pair = ActivePair(experiment.images.ids[row], switched, *(values[slot] for values in maps_of))
            yield Edited(row, float(losses[slot]), pair, to_uint8(edits.images[slot]).numpy())


def _largest(chosen: list[Edited], pairs: int) -> list[Edited]:
    """Return the pairs with the largest loss, the largest first; equal ones in the order of the set."""
    return sorted(chosen, key=lambda edited: (-edited.loss, edited.row))[:pairs]


def _write(experiment: Experiment, chosen: list[Edited], layer: str, units: str, model: ModelSource) -> None:
    """Write the selection, its images, the table and the report."""
    folder = experiment.folder.path
    for name in ("images", "hm"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    losses = [edited.loss for edited in chosen]
    details = {
        "units": units,
        "model": str(model.run or model.published),
        "losses": [round(loss, 6) for loss in losses],
    }
    write_active(folder, [edited.pair for edited in chosen], layer, details)
    for number, edited in enumerate(chosen):
        grey = np.repeat((edited.pair.shown * 255).astype(np.uint8)[..., None], 3, axis=2)
        for name, image in (("images", np.asarray(outlined(edited.image, edited.pair.shown))), ("hm", grey)):
            write_media(folder / name / f"{number}_hn.jpg", encode_image(image, "jpg", quality=95))
    names = [experiment.dataset.record(edited.row) for edited in chosen]
    table = [
        [number, edited.pair.latent, f"{edited.loss:.6g}", len(edited.pair.units), record.text]
        for number, (edited, record) in enumerate(zip(chosen, names, strict=True))
    ]
    write_table(folder / "active.csv", ["number", "id", "loss", "units", "caption of the original"], table)
    section = choices_section([_example(experiment, edited) for edited in chosen[:SHOWN]])
    metrics = {"pairs": float(len(chosen)), "largest_loss": losses[0], "smallest_loss": losses[-1]}
    log.info(
        "collect captions of the images in %s; where they go: datasets/spoken_captions/active_learning.py",
        folder / "images",
    )
    experiment.finish(f"{len(chosen)} pairs for annotators", metrics, [("Edited images that fool most", section)])


def outlined(image: np.ndarray, region: np.ndarray) -> Image.Image:
    """Draw the box of a region (R, R) in red on an image (R, R, 3) uint8, for annotators; none where it is empty."""
    canvas = Image.fromarray(image)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if len(rows):
        box = [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]
        ImageDraw.Draw(canvas).rectangle(box, outline="red")
    return canvas


def _example(experiment: Experiment, edited: Edited) -> Choice:
    record = experiment.dataset.record(edited.row)
    images = [experiment.image_u8(edited.row), np.asarray(outlined(edited.image, edited.pair.shown))]
    text = record.text or record.uttid
    return Choice(str(edited.pair.latent), text, np.array([0.0, edited.loss]), ["edited: its loss"], images)
