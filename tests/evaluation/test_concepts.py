"""Effects of concepts by hand: three labels, red and blue of one kind, cube of another."""

import pytest
import torch

from evaluation.concepts import effect, grown, mean_effect, other_change, purity, success_by_class

KINDS = ["colour", "colour", "shape"]
BEFORE = torch.tensor([[0.0, 0.2, 0.1], [0.1, 0.1, 0.1]])
AFTER = torch.tensor([[0.2, 0.1, 0.1], [0.1, 0.2, 0.3]])  # red grows in the first, blue and cube in the second


def test_success_is_the_fraction_in_which_it_grows():
    assert grown(BEFORE, AFTER, 0.1).tolist() == [[True, False, False], [False, True, True]]
    found = effect(BEFORE, AFTER, [BEFORE, AFTER], 0, KINDS, 0.05)
    assert found.success == 0.5
    assert found.random == 0.25  # none, and one of two
    assert found.doubled
    assert not effect(BEFORE, BEFORE, [BEFORE], 0, KINDS, 0.05).doubled  # never


def test_purity_is_the_share_of_what_grows_of_its_kind():
    """Of the colours red gains .2 and blue .1."""
    assert purity(BEFORE, AFTER, 0, [0, 1]) == pytest.approx(2 / 3)
    assert purity(BEFORE, BEFORE, 0, [0, 1]) == 0


def test_other_kinds_change_by_half_the_sum():
    """The shape changes by 0 and .2: a mean of .1, half of it."""
    assert other_change(BEFORE, AFTER, [[2]]) == pytest.approx(0.05)
    assert other_change(BEFORE, AFTER, []) == 0


def test_means_and_classes():
    one, two = effect(BEFORE, AFTER, [BEFORE], 0, KINDS, 0.05), effect(BEFORE, BEFORE, [BEFORE], 0, KINDS, 0.05)
    assert mean_effect([one, two]).success == 0.25
    assert success_by_class(torch.tensor([True, False, True]), ["cube", "cube", ""]) == {"cube": 0.5}
