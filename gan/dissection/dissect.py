"""Dissection: the label of each unit of a generator, by intersection over union (arXiv:1811.10597, section 3.1).

Any generator, any layers, any segmenter; every image is made and segmented once. Numbers are those of
``netdissect/dissection.py`` (CSAILVision/gandissect, and bundled with surisdi/learning-by-drawing), but quantiles are
not randomised. Shape letters: N images, U units, L labels (with "no label" first where asked for), C categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gan.dissection.activations import DissectionError, Samples, collect
from gan.dissection.information import Overlap, quality_ratio
from gan.dissection.thresholds import (
    Selection,
    category_numbers,
    fixed_thresholds,
    label_counts,
    presence,
    select_thresholds,
    selected_thresholds,
    upsampled,
)
from models.segmenter.labels import Segmenter

NO_LABEL = "-"


@dataclass
class LayerDissection:
    """Keep one layer's units against all labels; tensors are on the CPU."""

    thresholds: Tensor  # (U,) float32, activation from which a unit is on
    iou: Tensor  # (L, U) float64, intersection over union
    iqr: Tensor  # (L, U) float64, information quality ratio
    intersections: Tensor  # (L, U) int64 pixels; 0 for "no label"
    category_activations: Tensor  # (C, U) int64 pixels where the unit is on, in images that show the category
    top: Tensor  # (U, k) int64, the images in which a unit is strongest, strongest first
    top_values: Tensor  # (U, k) float32, its largest activation there
    selection: Selection | None = None  # of the thresholds, with the 'iqr' rule


@dataclass
class Dissection:
    """Keep the result."""

    labels: list[str]  # L names; ``NO_LABEL`` first where it takes part
    categories: list[str]  # L names, the kind of each label
    layers: dict[str, LayerDissection]
    label_counts: Tensor  # (L,) int64 pixels with each label
    total_counts: Tensor  # (C,) int64 pixels of the images that show each category
    threshold: float | str  # 'iqr', or the fraction of its cells in which a unit is on
    images: int  # N


def dissect_generator(
    generator: nn.Module,
    segmenter: Segmenter,
    latents: Tensor,
    layers: Sequence[str],
    threshold: float | Literal["iqr"] = "iqr",
    threshold_latents: Tensor | None = None,
    no_label: bool = True,
    examples: int = 20,
    batch_size: int = 16,
    budget_mb: float = 4096,
) -> Dissection:
    """Compare every unit with every label.

    Args:
        generator: latents (B, D) -> images (B, 3, R, R) in [-1, 1].
        segmenter: says which pixels have which labels.
        latents: (N, D).
        layers: names of the generator's layers.
        threshold: a fraction of a layer's cells (0.005 as published), or 'iqr': of a hundred thresholds the one that
            carries most information about a label.
        threshold_latents: (M, D), other images for choosing thresholds with 'iqr'; the same ones if None.
        no_label: whether "no label" takes part in choosing thresholds with 'iqr', as published. It suits clusters; for
            labels of which a pixel has one in each group it is always there.
        examples: images kept for each unit.
        batch_size: images at once.
        budget_mb: memory for activations; more goes to a temporary file.

    Raises:
        LayerNameError: the generator has no such layer.
        DissectionError: empty latents, a threshold outside 0-1, or outputs that cannot be dissected.
    """
    if threshold != "iqr" and not (isinstance(threshold, float) and 0 < threshold < 1):
        raise DissectionError(f"threshold is {threshold!r}; expected 'iqr' or a fraction between 0 and 1")
    samples = collect(generator, segmenter, latents, layers, batch_size, budget_mb)
    others = samples
    if threshold_latents is not None and threshold == "iqr":
        others = collect(generator, segmenter, threshold_latents, layers, batch_size, budget_mb)
    return dissect_samples(samples, threshold, others, no_label, examples, budget_mb / 4)


def dissect_samples(
    samples: Samples,
    threshold: float | Literal["iqr"] = "iqr",
    threshold_samples: Samples | None = None,
    no_label: bool = True,
    examples: int = 20,
    budget_mb: float = 1024,
) -> Dissection:
    """Compare units and labels of samples that were collected before; arguments as of :func:`dissect_generator`.

    ``threshold_samples`` are other images for choosing thresholds with 'iqr', and ``budget_mb`` bounds the memory for
    that.
    """
    counts, shown = label_counts(samples, no_label), presence(samples, no_label)
    totals = shown.sum(0).cpu() * samples.maps.pixels
    numbers = category_numbers(samples, no_label)
    found = {}
    for layer, activations in samples.activations.items():
        selection = None
        if threshold == "iqr":
            selection = select_thresholds(threshold_samples or samples, layer, no_label, budget_mb)
            thresholds = selected_thresholds(selection)
        else:
            thresholds = fixed_thresholds(samples, layer, float(threshold)).cpu()
        intersections, activated = _overlaps(samples, layer, thresholds, shown, no_label)
        iou, iqr = _scores(intersections, activated[numbers], counts, totals[numbers])
        strongest = torch.cat([part.amax((2, 3)) for part in activations.split(64)]).cpu()
        top_values, top = strongest.topk(min(examples, len(samples)), 0)
        found[layer] = LayerDissection(thresholds, iou, iqr, intersections, activated, top.T, top_values.T, selection)
    labels = ([NO_LABEL] if no_label else []) + samples.labels
    kinds = ([NO_LABEL] if no_label else []) + samples.categories
    return Dissection(labels, kinds, found, counts, totals, threshold, len(samples))


def _overlaps(
    samples: Samples, layer: str, thresholds: Tensor, shown: Tensor, no_label: bool, budget_mb: float = 256
) -> tuple[Tensor, Tensor]:
    """Return pixels where unit and label meet (L, U), and where a unit is on in images of a category (C, U), int64.

    Both are matrix products of zeros and ones over the pixels of a few images; sums below 2^24 are exact in float32.
    """
    maps, activations = samples.maps, samples.activations[layer]
    units = activations.shape[1]
    shown = shown.to(torch.float64)
    thresholds = thresholds.to(maps.device)[:, None, None]
    both = torch.zeros(maps.labels, units, dtype=torch.float64, device=maps.device)
    activated = torch.zeros(shown.shape[1], units, dtype=torch.float64, device=maps.device)
    each = 4 * maps.pixels * (maps.labels + 3 * units)
    step = max(1, min(int(budget_mb * 2**20 / each), 2**24 // maps.pixels))
    for first in range(0, len(samples), step):
        last = min(first + step, len(samples))
        on = (upsampled(activations[first:last].to(maps.device), maps.size) > thresholds).flatten(2).float()
        there = maps.images(first, last).float()
        both += torch.matmul(there, on.transpose(1, 2)).double().sum(0)
        activated += shown[first:last].T @ on.double().sum(2)
    both = both.round().long().cpu()
    missing = torch.zeros(int(no_label), units, dtype=torch.long)
    return torch.cat([missing, both]), activated.round().long().cpu()


def _scores(intersections: Tensor, activated: Tensor, counts: Tensor, totals: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union and information quality ratio, (L, U) float64, from counts of pixels."""
    both, on, there, total = (x.double() for x in (intersections, activated, counts[:, None], totals[:, None]))
    iou = both / (on + there - both + 1e-20)
    shares = Overlap(both / total, on / total, there / total)
    return iou, quality_ratio(shares.table())
