"""Activation thresholds from which a unit counts as on: at a quantile, or where a unit informs most about a label.

The 'iqr' rule is that of ``collect_iqr`` in ``netdissect/dissection.py`` (CSAILVision/gandissect), with exact quantiles
instead of a randomised sketch. Shape letters: L labels, U units, F fractions, N images, P pixels of all images.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.dissection.activations import DissectionError, Samples
from gan.dissection.information import Overlap, quality_ratio
from gan.dissection.quantiles import sorted_positions, sorted_quantiles

FRACTIONS = 100  # candidates between a thousandth of the pixels and all
LEAST_SHARE = 1e-3  # labels on fewer of the pixels choose no threshold
LEAST_AGREEMENT = 0.8
# of labels with more pixels the shares above a threshold are counted, which differs by 1/pixels at most
INTERPOLATED = 2**16
COPIES = 6  # of a unit's upsampled values that are in memory at once


class Selection(NamedTuple):
    """Keep for each label and unit the candidate with the largest information quality ratio, all (L, U)."""

    iqr: Tensor  # that ratio
    threshold: Tensor  # the candidate
    quantile: Tensor  # the fraction of the pixels above it
    iou: Tensor  # intersection over union at it
    agreement: Tensor  # share of the pixels where both are on or both are off


def fixed_thresholds(samples: Samples, layer: str, fraction: float) -> Tensor:
    """Return activations (U,) that a ``fraction`` of a unit's cells, not upsampled, exceed: 0.005 as published.

    Raises DissectionError where the fraction is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise DissectionError(f"quantile_threshold is {fraction}; expected 'iqr' or a fraction between 0 and 1")
    return samples.quantiles[layer].quantiles([1 - fraction])[:, 0]


def upsampled(activations: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge activations (N, U, h, w) to the label maps' ``size``, (N, U, H, W) float32.

    Interpolation is bilinear at half-pixel centres, with clamped edges.
    """
    return F.interpolate(activations.float(), size, mode="bilinear", align_corners=False)


def select_thresholds(samples: Samples, layer: str, no_label: bool, budget_mb: float = 1024) -> Selection:
    """Try a hundred thresholds of each unit against each label; returns the best candidates, on the CPU.

    Args:
        samples: images for choosing thresholds, usually others than those that are dissected.
        layer: one of its layers.
        no_label: put a row for "no label" first, as published: a pixel has it where some label is missing, and all
            missing ones count for how often it occurs.
        budget_mb: for the values of some units at once.
    """
    truth = label_counts(samples, no_label).double() / (len(samples) * samples.maps.pixels)
    shown, numbers = presence(samples, no_label), category_numbers(samples, no_label)
    parts = []
    for values in _unit_values(samples, layer, budget_mb):
        fractions = torch.logspace(-3, 0, FRACTIONS, device=values.device)
        ordered = values.sort(1).values
        thresholds = sorted_quantiles(ordered, 1 - fractions)
        switched = (1 - sorted_positions(ordered, thresholds)).expand(len(truth), -1, -1)
        del ordered
        if shown.shape[1] > 1:
            switched = _by_category(shown, values, thresholds)[numbers]
        inside = _label_shares(samples, no_label, values, thresholds)
        parts.append(_best(inside, switched, truth.to(values.device), thresholds, fractions))
    return Selection(*(torch.cat(fields, 1).cpu() for fields in zip(*parts, strict=True)))


def selected_thresholds(selection: Selection) -> Tensor:
    """Return the threshold (U,) of each unit's label with the largest ratio, the first one of equals."""
    best = selection.iqr.argmax(0)
    return selection.threshold.gather(0, best[None])[0]


def _best(inside: Tensor, switched: Tensor, truth: Tensor, thresholds: Tensor, fractions: Tensor) -> Selection:
    """Return the best fraction from shares of label pixels and of all pixels (L, U, F) above thresholds (U, F)."""
    label = truth[:, None, None].float()
    overlap = Overlap(inside.float() * label, switched.float(), label)
    table = overlap.table().clamp(0, 1)
    iqr = quality_ratio(table)
    iqr[:, :, -1] = 0  # everything is on: nothing can be known
    iqr[truth < LEAST_SHARE] = 0
    agreement = overlap.both + table[1, 1]
    iqr[agreement <= LEAST_AGREEMENT] = 0
    iqr[:, thresholds <= 0] = 0
    best = iqr.argmax(2, keepdim=True)
    iou = torch.nan_to_num(overlap.both / overlap.union, nan=0.0)
    spread = thresholds.expand(iqr.shape), fractions.expand(iqr.shape)
    return Selection(*(values.gather(2, best)[..., 0] for values in (iqr, *spread, iou, agreement)))


def _unit_values(samples: Samples, layer: str, budget_mb: float) -> Iterator[Tensor]:
    """Yield upsampled values (units, P) of as many units as the budget allows."""
    activations = samples.activations[layer]
    each = 4 * COPIES * len(samples) * samples.maps.pixels
    for part in activations.split(max(1, int(budget_mb * 2**20 / each)), 1):
        yield upsampled(part.to(samples.maps.device), samples.maps.size).transpose(0, 1).reshape(part.shape[1], -1)


def _pixels(samples: Samples, number: int) -> Tensor:
    """Return indices of the pixels of a label; -1 is "no label"."""
    if number >= 0:
        return samples.maps.label(number).flatten().nonzero()[:, 0]
    every = samples.maps.label(0).clone()
    for other in range(1, samples.maps.labels):
        every &= samples.maps.label(other)
    return (~every).flatten().nonzero()[:, 0]


def _label_shares(samples: Samples, no_label: bool, values: Tensor, thresholds: Tensor) -> Tensor:
    """Return the share of each label's pixels above the thresholds (U, F), as (L, U, F)."""
    ascending = thresholds.flip(1).contiguous()
    bins = torch.searchsorted(ascending, values, out_int32=True)
    shares = []
    for number in range(-1 if no_label else 0, samples.maps.labels):
        pixels = _pixels(samples, number)
        if len(pixels) <= INTERPOLATED:
            shares.append(_share_above(values[:, pixels], thresholds))
            continue
        counts = _counts(bins[:, pixels])
        shares.append((1 - counts.cumsum(1)[:, :-1].double() / len(pixels)).flip(1))
    return torch.stack(shares)


def _counts(bins: Tensor) -> Tensor:
    """Return how often each of the F + 1 bins occurs in each row of bins (U, n)."""
    rows = torch.arange(len(bins), device=bins.device, dtype=bins.dtype)[:, None] * (FRACTIONS + 1)
    counts = torch.bincount((bins + rows).flatten(), minlength=len(bins) * (FRACTIONS + 1))
    return counts.unflatten(0, (len(bins), -1))


def _share_above(values: Tensor, thresholds: Tensor) -> Tensor:
    """Return the share of values (U, n) above the thresholds (U, F), linear between values; 0 without values."""
    if not values.shape[1]:
        return torch.zeros(thresholds.shape, dtype=torch.float64, device=thresholds.device)
    return 1 - sorted_positions(values.sort(1).values, thresholds)


def _by_category(shown: Tensor, values: Tensor, thresholds: Tensor) -> Tensor:
    """Return the share of pixels above the thresholds, (C, U, F), of images that show a label of a category (N, C)."""
    images = values.unflatten(1, (len(shown), -1))
    return torch.stack([_share_above(images[:, where].flatten(1), thresholds) for where in shown.T])


def label_counts(samples: Samples, no_label: bool) -> Tensor:
    """Return pixels with each label (L,) int64; as published "no label" counts every label that a pixel lacks."""
    counts = [int(samples.maps.label(number).sum()) for number in range(samples.maps.labels)]
    missing = [samples.maps.labels * len(samples) * samples.maps.pixels - sum(counts)] if no_label else []
    return torch.tensor(missing + counts)


def category_numbers(samples: Samples, no_label: bool) -> list[int]:
    """Return the index of each label's category; "no label" belongs to the first, as published."""
    categories = list(dict.fromkeys(samples.categories))
    return ([0] if no_label else []) + [categories.index(category) for category in samples.categories]


def presence(samples: Samples, no_label: bool) -> Tensor:
    """Return in which images some label of a category occurs, bool (N, C).

    "No label" is present where some pixel lacks some label.
    """
    present = samples.maps.present()
    if no_label:
        full = torch.stack([samples.maps.images(n, n + 1).all().reshape(()) for n in range(len(samples))])
        present = torch.cat([~full[:, None], present], 1)
    numbers = torch.tensor(category_numbers(samples, no_label), device=present.device)
    return torch.stack([present[:, numbers == number].any(1) for number in range(int(numbers.max()) + 1)], 1)
