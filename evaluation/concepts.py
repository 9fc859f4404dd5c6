"""Whether a step along a concept's direction makes the concept appear, and what else it changes.

A judge gives each image a degree, 0-1, of every label (share of pixels, or probability). Shape letters: Z latents, L
labels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from common.errors import UserError


class ConceptError(UserError, ValueError):
    """Concepts that cannot be judged."""


class Effect(NamedTuple):
    """Say what a step along one concept's direction does."""

    success: float  # fraction of latents in which the concept appears or grows
    random: float  # the same of random directions of equal length
    purity: float  # of everything of its kind that grows, the share that the concept has, 0-1
    other: float  # change of the labels of other kinds: mean over kinds of half the sum of changes

    @property
    def doubled(self) -> bool:
        """Return whether the concept appears at least twice as often as by random directions, and ever."""
        return self.success > 0 and self.success >= 2 * self.random


def grown(before: Tensor, after: Tensor, least: float) -> Tensor:
    """Return (Z, L) bool: which labels appear or grow by ``least`` from degrees (Z, L) before to those after."""
    return after - before >= least


def purity(before: Tensor, after: Tensor, label: int, same: Sequence[int]) -> float:
    """Return the share that a label has in what grows among the labels ``same`` of its kind, itself among them.

    Degrees are (Z, L); sums are over all latents. 0 where nothing grows.
    """
    gains = (after - before).clamp(min=0).sum(dim=0)
    total = gains[list(same)].sum()
    return (gains[label] / total).item() if total > 0 else 0.0


def other_change(before: Tensor, after: Tensor, kinds: Sequence[Sequence[int]]) -> float:
    """Return how much the labels of some kinds change: mean over latents and kinds of half the sum of changes."""
    if not kinds:
        return 0.0
    change = (after - before).abs()
    return torch.stack([change[:, list(kind)].sum(dim=1).mean() / 2 for kind in kinds]).mean().item()


def effect(
    before: Tensor,
    after: Tensor,
    random: Sequence[Tensor],
    label: int,
    categories: Sequence[str],
    least: float,
) -> Effect:
    """Judge one concept.

    Args:
        before: degrees (Z, L) of the images before the step.
        after: of those after it.
        random: of those after steps of equal length along random directions, at least one.
        label: number of the concept's label.
        categories: L, the kind of each label.
        least: by which a degree must grow.
    """
    kinds = {name: [n for n, one in enumerate(categories) if one == name] for name in dict.fromkeys(categories)}
    same = kinds.pop(categories[label])
    chance = torch.stack([grown(before, one, least)[:, label].float().mean() for one in random]).mean().item()
    return Effect(
        grown(before, after, least)[:, label].float().mean().item(),
        chance,
        purity(before, after, label, same),
        other_change(before, after, list(kinds.values())),
    )


def mean_effect(effects: Sequence[Effect]) -> Effect:
    """Return the mean over seeds."""
    return Effect(*(sum(values) / len(values) for values in zip(*effects, strict=True)))


def vanished(before: Tensor, after: Tensor, share: float = 0.5) -> Tensor:
    """Return (...) bool: which labels fall below a ``share`` of their degrees before; a degree of 0 cannot vanish."""
    return (before > 0) & (after < share * before)


def overlap_of_equal_size(values: Tensor, there: Tensor) -> Tensor:
    """Return the intersection over union (B,) of regions (B, H, W) bool with as many of the highest ``values`` there.

    No threshold is chosen: a map (B, H, W) counts where it is highest, on as many pixels as the region has. 0 where a
    region is empty.
    """
    flat, wanted = values.flatten(1), there.flatten(1)
    ranks = flat.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    both = ((ranks < wanted.sum(dim=1, keepdim=True)) & wanted).sum(dim=1).double()
    return both / (2 * wanted.sum(dim=1) - both).clamp(min=1)


def share_among_best(scores: Tensor, there: Tensor, most: int) -> Tensor:
    """Return for each row of ``scores`` (Q, P) which share of its ``most`` best columns is ``there`` (P,) bool."""
    best = scores.topk(min(most, scores.shape[1]), dim=1).indices
    return there[best].double().mean(dim=1)
