"""How much a unit's on and off tells about a label's: agreement of two binary maps from the shares of their overlap.

As published: ``score_tally_stats`` and ``information_quality_ratio`` of ``netdissect/dissection.py``
(CSAILVision/gandissect). Shares are of all pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """Shares of the pixels for all pairs of a label and a unit, tensors that broadcast.

    Attributes:
        both: Unit on and label there.
        unit: Unit on.
        label: Label there.
    """

    both: Tensor
    unit: Tensor
    label: Tensor

    @property
    def union(self) -> Tensor:
        """Unit on or label there."""
        return self.unit + self.label - self.both

    def table(self) -> Tensor:
        """The four cells (2, 2, ...) whose sum is 1: both or the unit alone, the label alone or neither."""
        cells = [self.both, self.unit - self.both, self.label - self.both, 1 - self.union]
        return torch.stack(torch.broadcast_tensors(*cells)).unflatten(0, (2, 2))


def mutual_information(table: Tensor) -> Tensor:
    """Sum of p log(p / (row * column)) over a table (2, 2, ...), in nats; empty and impossible cells count nothing.

    Args:
        table: (2, 2, ...) joint probabilities of two yes-or-no questions; the axes behind are different tables.

    Returns:
        (...) nats, at least 0.
    """
    independent = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    terms = table * (table / independent).log()
    return terms.where(~terms.isnan(), 0.0).sum((0, 1)).clamp(min=0)


def joint_entropy(table: Tensor) -> Tensor:
    """Minus the sum of p log p over a table (2, 2, ...), in nats; empty and impossible cells count nothing.

    Args:
        table: as in :func:`mutual_information`.

    Returns:
        (...) nats, at least 0.
    """
    terms = torch.special.xlogy(table, table)
    return (-terms.where(~terms.isnan(), 0.0).sum((0, 1))).clamp(min=0)


def quality_ratio(table: Tensor) -> Tensor:
    """Mutual information over joint entropy, 0-1; 0 where there is no entropy.

    Args:
        table: as in :func:`mutual_information`.

    Returns:
        (...) ratios, 0-1.
    """
    ratio = mutual_information(table) / joint_entropy(table)
    return ratio.where(~ratio.isnan(), 0.0)
