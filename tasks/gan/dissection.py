"""Dissect a generator: find the label of each unit, as published for "Learning Words by Drawing Images" (CVPR 2019).

``python run.py -f words_by_drawing/dissect.yaml`` writes ``dissect.json`` (published layout), ``units.json`` (units of
each label, best first, without the excluded ones), ``metrics.json`` and ``report.html``.
"""

import json
import logging
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

import config
from common import distributed
from common.files import write_whole
from config.limits import BatchSize, Megabytes, Seed
from engine.context import Context
from engine.logs import say
from engine.run_folder import RunFolder, RunSettings
from evaluation.report.dissection import ExampleImage, LabelView, LayerView, UnitView, write_dissection_report
from evaluation.report.retrieval import metrics_table, write_metrics
from gan.dissection.activations import Samples, collect
from gan.dissection.dissect import NO_LABEL, Dissection, dissect_samples
from gan.dissection.json_file import IOU_THRESHOLD, IQR_THRESHOLD, write_dissection
from gan.dissection.thresholds import upsampled
from gan.dissection.unit_ranking import best_labels, check_excluded, rank_units
from gan.hooks import layer_named
from gan.images import to_uint8
from gan.latents import latent_dim_of, latents
from models.segmenter.labels import Segmenter, ready_segmenter

log = logging.getLogger(__name__)
DRY_SAMPLES = 4
UNITS_SHOWN, IMAGES_SHOWN = 3, 6


def dissect(
    generator: nn.Module,
    segmenter: Segmenter,
    layers: list[str],
    context: Context,
    samples: PositiveInt = 1000,
    seed: Seed = 1,
    threshold_seed: Seed = 2,
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["iqr"] = "iqr",
    no_label: bool = True,
    excluded_units: dict[str, list[NonNegativeInt]] = {},  # noqa: B006  never changed
    examples: PositiveInt = 20,
    batch_size: BatchSize = 16,
    budget_mb: Megabytes = 4096,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Dissect a generator and write what was found.

    Args:
        generator: (B, latent_dim) to (B, 3, R, R), with the attribute ``latent_dim``.
        segmenter: says which pixels have which labels.
        layers: of the generator.
        context: given by run.py.
        samples: images, 1,000 as published; as many others choose the thresholds.
        seed: of the latents, 1 as published.
        threshold_seed: of the latents for choosing thresholds, 2 as published.
        threshold: 'iqr', or the fraction of its cells in which a unit counts as on.
        no_label: whether "no label" takes part in choosing thresholds; true as published, for clusters.
        excluded_units: units of each layer that only carry noise and are left out of ``units.json``.
        examples: images listed for each unit.
        batch_size: images at once.
        budget_mb: memory for activations; more goes to a temporary file.
        run: folder of the results.

    Raises:
        LayerNameError: the generator has no such layer, or units of one are excluded that is not dissected.
        LatentError: the generator has no ``latent_dim``.
        SegmentationError: the segmenter is none.
        DissectionError: the generator cannot be dissected, or the excluded units cannot be.
        UserError: the run folder cannot be written, or holds another run.
    """
    for layer in [*layers, *excluded_units]:
        layer_named(generator, layer)
    device, dim = distributed.pick_device(), latent_dim_of(generator)
    generator, segmenter = generator.to(device).eval(), ready_segmenter(segmenter, device)
    one = collect(generator, segmenter, latents(1, dim, seed), layers)  # refuses what does not fit at once
    check_excluded(excluded_units, {layer: values.shape[1] for layer, values in one.activations.items()})
    folder = RunFolder(run.path(context.name))
    if not context.dry_run:
        folder.prepare(context.values, run.resume, context.command)
    number = min(samples, DRY_SAMPLES) if context.dry_run else samples
    table = latents(number, dim, seed)
    collected = collect(generator, segmenter, table, layers, batch_size, budget_mb)
    others = None
    if threshold == "iqr":
        others = collect(generator, segmenter, latents(number, dim, threshold_seed), layers, batch_size, budget_mb)
    found = dissect_samples(collected, threshold, others, no_label, examples, budget_mb / 4)
    ranked = rank_units(found, excluded_units)
    if context.dry_run:
        log.info("dry run: %s", figures(found))
        return
    table = table.to(device)
    views = [_layer_view(found, collected, layer, ranked[layer], generator, table) for layer in layers]
    info = {"config": context.name, "images": str(number), "threshold": str(threshold)}
    info["command"] = " ".join(context.command)
    _write(folder, context, found, ranked, views, info)


def figures(found: Dissection) -> dict[str, float]:
    """Return numbers of each layer by name: units, units with a label, labels that have units, and mean best IoU.

    The IoU is the mean over the labels that occur in the images.
    """
    first = _first_label(found)
    occurring = found.label_counts[first:] > 0
    metrics: dict[str, float] = {}
    for name, layer in found.layers.items():
        labels, matched = _matched(found, name)
        metrics |= {
            f"{name}/units": len(labels),
            f"{name}/interpretable_units": int(matched.sum()),
            f"{name}/labels_with_units": len(labels[matched].unique()),
            f"{name}/mean_best_iou": layer.iou[first:][occurring].amax(1).sum().item() / max(1, int(occurring.sum())),
        }
    return metrics


def _first_label(found: Dissection) -> int:
    """Return the number of the first label that a segmenter gives: 1 behind "no label", else 0."""
    return int(found.labels[0] == NO_LABEL)


def _matched(found: Dissection, layer: str) -> tuple[Tensor, Tensor]:
    """Return the best label (C,) of each unit, and whether (C,) bool the unit matches it well enough to count."""
    labels, scores = best_labels(found, layer)
    ratios = found.layers[layer].iqr.gather(0, labels[None])[0]
    return labels, (scores > IOU_THRESHOLD) & (ratios > IQR_THRESHOLD)


def _write(
    folder: RunFolder,
    context: Context,
    found: Dissection,
    ranked: dict[str, Tensor],
    views: list[LayerView],
    info: dict[str, str],
) -> None:
    """Write the files of the run folder, then print the figures and where the files are."""
    # clusters are called c_2, c_3, ... as published: then "no label" is c_1
    no_label_name = "c_1" if found.labels[1:2] == ["c_2"] else NO_LABEL
    write_dissection(folder.path, found, context.name, no_label_name, {"config": context.name})
    first = _first_label(found)
    units = {layer: dict(zip(found.labels[first:], rows.tolist(), strict=True)) for layer, rows in ranked.items()}
    write_whole(folder.path / "units.json", (json.dumps(units) + "\n").encode())
    metrics = figures(found)
    write_metrics(folder.path, metrics)
    title = f"{context.run_name}: units and their labels"
    write_dissection_report(folder.path / "report.html", title, views, info, context.config_text)
    say(metrics_table(metrics))
    for name in ("report.html", "dissect.json", "units.json", "metrics.json"):
        say(f"{name:<14}{config.short(folder.path / name)}")


def _layer_view(
    found: Dissection, collected: Samples, layer: str, ranked: Tensor, generator: nn.Module, table: Tensor
) -> LayerView:
    labels, matched = _matched(found, layer)
    first = _first_label(found)
    wanted = [ranked[row, :UNITS_SHOWN].tolist() for row in range(len(ranked))]
    needed = sorted({n for units in wanted for u in units for n in found.layers[layer].top[u, :IMAGES_SHOWN].tolist()})
    images = _images_u8(generator, table, needed)
    view = LayerView(layer, len(labels), int(matched.sum()))
    for row, units in enumerate(wanted):
        label = row + first
        members = [
            _unit_view(found, collected, layer, unit, label, images, bool(labels[unit] == label)) for unit in units
        ]
        view.labels.append(
            LabelView(
                found.labels[label],
                found.categories[label],
                found.label_counts[label].item() / (found.images * collected.maps.pixels),
                int((matched & (labels == label)).sum()),
                members,
            )
        )
    return view


def _unit_view(
    found: Dissection, collected: Samples, layer: str, unit: int, label: int, images: dict[int, Tensor], own: bool
) -> UnitView:
    dissected = found.layers[layer]
    numbers = dissected.top[unit, :IMAGES_SHOWN].tolist()
    values = collected.activations[layer][numbers, unit : unit + 1]
    on = (upsampled(values, collected.maps.size) > dissected.thresholds[unit].to(values.device))[:, 0].cpu().numpy()
    there = collected.maps.label(label - _first_label(found))[numbers].unflatten(1, collected.maps.size).cpu().numpy()
    shown = [ExampleImage(images[n].numpy(), *masks) for n, *masks in zip(numbers, on, there, strict=True)]
    return UnitView(unit, dissected.iou[label, unit].item(), dissected.thresholds[unit].item(), shown, own)


@torch.no_grad()
def _images_u8(generator: nn.Module, table: Tensor, numbers: Sequence[int]) -> dict[int, Tensor]:
    """Return images to show, by number, (R, R, 3) uint8."""
    shown: dict[int, Tensor] = {}
    for part in torch.tensor(numbers).split(16):
        for number, image in zip(part.tolist(), generator(table[part.to(table.device)]), strict=True):
            shown[number] = to_uint8(image)
    return shown
