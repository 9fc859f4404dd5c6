import math

import pytest
import torch

from gan.dissection.information import Overlap, joint_entropy, mutual_information, quality_ratio


def table_of(unit, label):
    """Shares of the four combinations of two bool masks."""
    both = (unit & label).double().mean()
    return Overlap(both, unit.double().mean(), label.double().mean()).table()


def test_the_definitions_written_out():
    generator = torch.Generator().manual_seed(0)
    unit, label = (torch.rand(1000, generator=generator) < share for share in (0.3, 0.6))
    table = table_of(unit, label)
    information = entropy = 0.0
    for u in (True, False):
        for l in (True, False):  # noqa: E741
            p = ((unit == u) & (label == l)).double().mean().item()
            information += p * math.log(p / ((unit == u).double().mean() * (label == l).double().mean()))
            entropy -= p * math.log(p)
    assert mutual_information(table).item() == pytest.approx(information)
    assert joint_entropy(table).item() == pytest.approx(entropy)
    assert quality_ratio(table).item() == pytest.approx(information / entropy)


def test_equal_masks_tell_everything_and_independent_ones_nothing():
    mask = torch.tensor([True, True, False, False])
    assert quality_ratio(table_of(mask, mask)).item() == pytest.approx(1)
    assert quality_ratio(table_of(mask, torch.tensor([True, False, True, False]))).item() == pytest.approx(0, abs=1e-12)


def test_no_entropy_gives_zero_and_impossible_shares_give_a_number():
    nothing = torch.zeros(4, dtype=torch.bool)
    assert quality_ratio(table_of(nothing, nothing)).item() == 0
    more_than_all = Overlap(torch.tensor(0.0), torch.tensor(0.2), torch.tensor(2.5))  # as published of "no label"
    assert torch.isfinite(quality_ratio(more_than_all.table()))
