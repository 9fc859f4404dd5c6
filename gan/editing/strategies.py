"""Semantic negatives: images generated again with units switched off where the caption's similarity is highest.

"Learning Words by Drawing Images" (CVPR 2019); published code surisdi/learning-by-drawing ``trainer.py`` and
``active_learning.py``, one image at a time; here a whole batch (regenerate.py). The rules are the published ones:

- the change of an image is ``|negative - positive| / |positive|`` (norms over colours and pixels of the encoder's
  input), both inside the first region, that of the threshold 0.95;
- random edits switch off each unit with probability 0.5; with each attempt, before its change is compared, the change
  threshold falls by 0.01 with probability 0.2: the first has to reach 0.95 or 0.94 (in the experiment ``recall`` the
  probability of the units begins at 0.4 and rises by 0.05 whenever the change threshold does not fall; training counts
  so too, but does not use what it counts);
- cluster edits switch off the best units of the cluster nearest to the image feature at the peak, at a retry of one
  drawn with probabilities proportional to the similarities cut to 0-4. With each attempt 40 units more are switched
  off, the region's threshold falls by 0.1, and the change threshold by 0.05: the first attempt has to reach 0.90.

The published loops have no bound. Here an image that fails ``max_retries`` times keeps its most changed attempt. With
19 retries the change threshold of cluster edits has come to zero, so that they always end as published.

Shape letters: B pairs, C units of a layer, D embedding size, H, W image map, K clusters, r images still tried.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan.editing.regenerate import EditingError, Negatives, Positives, Proposal, regenerate_until
from gan.editing.regions import BORDER, THRESHOLD, Heat, region

CHANGE_THRESHOLD = 0.95
RANDOM_THRESHOLD_STEP, RANDOM_THRESHOLD_CHANCE = 0.01, 0.2
CLUSTER_THRESHOLD_STEP, THRESHOLD_STEP, UNITS_STEP = 0.05, 0.1, 40
FIRST_UNITS = {"layer2": 30, "layer3": 30, "layer4": 140, "layer5": 30, "layer6": 30}
OTHER_FIRST_UNITS = 30
LARGEST_SIMILARITY = 4.0
MAX_RETRIES = 19


class Share(NamedTuple):
    """Say which rows of the global batch the pairs are.

    Random numbers are drawn for all, so that ranks equal one process.
    """

    first: int  # row of the first pair
    total: int  # pairs of all ranks


def random_edits(
    model: nn.Module,
    positives: Positives,
    found: Heat,
    generator: torch.Generator,
    max_retries: int = MAX_RETRIES,
    probability: float = 0.5,
    share: Share | None = None,
    border: int = BORDER,
    probability_step: float = 0.0,
) -> Negatives:
    """Switch off random units of every layer in each image's strongest region until it has changed enough.

    Args:
        model: the generator.
        positives: of :func:`gan.editing.regenerate.generate` with the layers to edit.
        found: heat maps of the pairs, of :func:`gan.editing.regions.heat`.
        generator: CPU source of randomness; what is taken from it does not depend on how many retries are needed.
        max_retries: attempts after the first.
        probability: of each unit to be switched off.
        share: position of the pairs in the global batch; None: they are all.
        border: cells around the connected region that belong to it, 1 as published.
        probability_step: added to an image's probability after an attempt that leaves its change threshold where it
            was: 0.05 in the published experiment ``recall``, 0 in the published training.

    Raises:
        EditingError: arguments that do not fit each other.
    """
    batch = _checked(positives, found, max_retries)
    draws = _Draws(generator, max_retries + 1, share or Share(0, batch), positives.latents)
    masks = region(found, THRESHOLD, border)
    threshold = torch.full((batch,), CHANGE_THRESHOLD, device=masks.device)
    chance = torch.full((batch, 1), probability, device=masks.device)
    nobody = torch.full((batch,), -1, device=masks.device)

    def propose(attempt: int, rows: Tensor) -> Proposal:
        """Say what to try on the images ``rows`` (r,): masks (r, H, W), units off per layer (r, C), thresholds (r,)."""
        uniform = draws.attempt(attempt)
        units = {name: (uniform(n) < chance)[rows] for name, (n, *_) in positives.shapes.items()}
        falls = uniform(1) < RANDOM_THRESHOLD_CHANCE
        threshold.sub_(RANDOM_THRESHOLD_STEP * falls[:, 0])
        chance.add_(probability_step * ~falls)
        return Proposal(masks[rows], units, nobody[rows], threshold[rows])

    return regenerate_until(model, positives, found, propose, THRESHOLD, max_retries, border)


def cluster_edits(
    model: nn.Module,
    positives: Positives,
    found: Heat,
    similarities: Tensor,
    units: Mapping[str, Tensor],
    generator: torch.Generator,
    max_retries: int = MAX_RETRIES,
    share: Share | None = None,
    first_units: Mapping[str, int] = FIRST_UNITS,
    border: int = BORDER,
) -> Negatives:
    """Switch off the units of near clusters in each image's strongest region until it has changed enough.

    Args:
        model: the generator.
        positives: of :func:`gan.editing.regenerate.generate` with the layers to edit.
        found: heat maps of the pairs, of :func:`gan.editing.regions.heat`.
        similarities: (B, K) of each pair's image feature to the clusters, of :func:`cluster_similarities`.
        units: for each layer (K, n) int64, units of each cluster, the best first; n is below C where units are left
            out.
        generator: CPU source of randomness; what is taken from it does not depend on how many retries are needed.
        max_retries: attempts after the first.
        share: position of the pairs in the global batch; None: they are all.
        first_units: units switched off at the first attempt, by layer; 30 in other layers.
        border: cells around the connected region that belong to it, 1 as published.

    Raises:
        EditingError: arguments that do not fit each other, as units of another generator or other clusters.
    """
    batch = _checked(positives, found, max_retries)
    rankings = _checked_rankings(positives, similarities, units)
    draws = _Draws(generator, max_retries + 1, share or Share(0, batch), positives.latents)
    nearest = similarities.argmax(1)
    weights = _weights(similarities, nearest)

    def propose(attempt: int, rows: Tensor) -> Proposal:
        """Say what to try on the images ``rows`` (r,): masks (r, H, W), units off per layer (r, C), thresholds (r,)."""
        clusters = (nearest if attempt == 0 else _drawn(weights, draws.attempt(attempt)(1)))[rows]
        chosen = {}
        for name, ranking in rankings.items():
            number = first_units.get(name, OTHER_FIRST_UNITS) + UNITS_STEP * attempt
            chosen[name] = units_off(ranking[clusters, :number], positives.shapes[name][0])
        masks = region(Heat(found.values[rows], found.peaks[rows]), THRESHOLD - THRESHOLD_STEP * attempt, border)
        threshold = torch.full(
            (len(rows),), CHANGE_THRESHOLD - CLUSTER_THRESHOLD_STEP * (attempt + 1), device=rows.device
        )
        return Proposal(masks, chosen, clusters, threshold)

    return regenerate_until(model, positives, found, propose, THRESHOLD, max_retries, border)


def cluster_similarities(features: Tensor, centroids: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return dot products (B, K) of normalised image features (B, D) at the peaks with centroids (K, D).

    ``mean`` and ``std`` (D,) are those of many images' features. Raises EditingError where the clusters are those of a
    model with another embedding size.
    """
    if not features.shape[1] == centroids.shape[1] == len(mean) == len(std):
        raise EditingError(
            f"The clusters have {centroids.shape[1]} feature units (mean {len(mean)}, std {len(std)}), the model's "
            f"image features {features.shape[1]}: they are another model's. Cluster this model's units again."
        )
    mean, std, centroids = (value.to(features) for value in (mean, std, centroids))
    return (features - mean) / (std + 1e-8) @ centroids.T


def units_off(ranked: Tensor, channels: int) -> Tensor:
    """Mark units given by number, (B, n) int64, as (B, C) bool."""
    marks = torch.zeros(len(ranked), channels, dtype=torch.bool, device=ranked.device)
    return marks.scatter_(1, ranked, True)


def _weights(similarities: Tensor, nearest: Tensor) -> Tensor:
    """Return how likely each cluster is at a retry (B, K), not summing to one.

    A pair near to none stays with its nearest.
    """
    weights = similarities.clamp(0, LARGEST_SIMILARITY).double()
    alone = torch.nn.functional.one_hot(nearest, weights.shape[1]).to(weights)
    return torch.where(weights.sum(1, keepdim=True) > 0, weights, alone)


def _drawn(weights: Tensor, uniform: Tensor) -> Tensor:
    """Draw one column of each row (B,) with probabilities proportional to ``weights`` (B, K) by ``uniform`` (B, 1)."""
    sums = weights.cumsum(1)
    drawn = torch.searchsorted(sums, uniform.double() * sums[:, -1:], right=True)[:, 0]
    return drawn.clamp(max=weights.shape[1] - 1)


class _Draws:
    """Draw uniform numbers for each attempt and pair, however many attempts other pairs and ranks make."""

    def __init__(self, generator: torch.Generator, attempts: int, share: Share, like: Tensor) -> None:
        self.seeds = torch.randint(2**62, (attempts,), generator=generator).tolist()
        self.rows, self.total, self.device = slice(share.first, share.first + len(like)), share.total, like.device

    def attempt(self, number: int) -> Callable[[int], Tensor]:
        """Return a function that draws (B, n) for this attempt, others at each call."""
        source = torch.Generator().manual_seed(self.seeds[number])

        def uniform(size: int) -> Tensor:
            return torch.rand(self.total, size, generator=source)[self.rows].to(self.device)

        return uniform


def _checked(positives: Positives, found: Heat, max_retries: int) -> int:
    """Return the number of pairs, after looking whether images and heat maps belong together."""
    batch = len(positives.latents)
    if len(found.values) != batch or len(positives.images) != batch:
        raise EditingError(
            f"Expected one image and one heat map for each of {batch} latents, got {len(positives.images)} and "
            f"{len(found.values)}."
        )
    if not positives.shapes:
        raise EditingError("There is no layer to edit: name at least one layer of the generator, as layers: [layer4].")
    if max_retries < 0:
        raise EditingError(f"max_retries is {max_retries}, expected 0 or more attempts after the first.")
    return batch


def _checked_rankings(positives: Positives, similarities: Tensor, units: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the unit rankings of the layers to edit, on the generator's device."""
    missing = [name for name in positives.shapes if name not in units]
    if missing:
        raise EditingError(f"There are no unit rankings of {missing}, only of {list(units)}. Dissect those layers too.")
    clusters = similarities.shape[1]
    for name, (channels, *_) in positives.shapes.items():
        ranking = units[name]
        if ranking.dim() != 2 or len(ranking) != clusters or ranking.shape[1] == 0:
            raise EditingError(
                f"The unit rankings of {name} have shape {tuple(ranking.shape)}, expected a row of units for each of "
                f"{clusters} clusters. Dissect the generator with the clusters in use."
            )
        if not 0 <= int(ranking.min()) <= int(ranking.max()) < channels:
            raise EditingError(
                f"The unit rankings of {name} name unit {int(ranking.max())}, but the layer has {channels} units: "
                "they are another generator's. Dissect this generator."
            )
    return {name: units[name].to(positives.latents.device) for name in positives.shapes}
