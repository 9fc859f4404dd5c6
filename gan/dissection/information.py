"""Information that a unit has about a label: agreement of two binary maps from the shares of their overlap.

As published: ``score_tally_stats`` and ``information_quality_ratio`` of ``netdissect/dissection.py``
(CSAILVision/gandissect). Shares are of all pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """Keep shares of the pixels for all pairs of a label and a unit, tensors that broadcast."""

    both: Tensor  # unit on and label there
    unit: Tensor  # unit on
    label: Tensor  # label there

    @property
    def union(self) -> Tensor:
        """Return the share with unit on or label there."""
        return self.unit + self.label - self.both

    def table(self) -> Tensor:
        """Return the four cells (2, 2, ...) whose sum is 1: both or the unit alone, the label alone or neither."""
        cells = [self.both, self.unit - self.both, self.label - self.both, 1 - self.union]
        return torch.stack(torch.broadcast_tensors(*cells)).unflatten(0, (2, 2))


def mutual_information(table: Tensor) -> Tensor:
    """Return the sum of p log(p / (row * column)) over a table (2, 2, ...) of joint probabilities: (...) nats.

    Empty and impossible cells count nothing.
    """
    independent = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    terms = table * (table / independent).log()
    return terms.where(~terms.isnan(), 0.0).sum((0, 1)).clamp(min=0)


def joint_entropy(table: Tensor) -> Tensor:
    """Return minus the sum of p log p over a table (2, 2, ...) of joint probabilities: (...) nats.

    Empty and impossible cells count nothing.
    """
    terms = torch.special.xlogy(table, table)
    return (-terms.where(~terms.isnan(), 0.0).sum((0, 1))).clamp(min=0)


def quality_ratio(table: Tensor) -> Tensor:
    """Return mutual information over joint entropy of a table (2, 2, ...), (...) of 0-1; 0 without entropy."""
    ratio = mutual_information(table) / joint_entropy(table)
    return ratio.where(~ratio.isnan(), 0.0)
