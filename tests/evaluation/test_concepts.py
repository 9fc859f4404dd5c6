"""Effects of concepts by hand: three labels, red and blue of one kind, cube of another."""

import pytest
import torch

from evaluation.concepts import (
    effect,
    grown,
    mean_effect,
    other_change,
    overlap_of_equal_size,
    purity,
    share_among_best,
    vanished,
)

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


def test_the_mean_over_seeds():
    one, two = effect(BEFORE, AFTER, [BEFORE], 0, KINDS, 0.05), effect(BEFORE, BEFORE, [BEFORE], 0, KINDS, 0.05)
    assert mean_effect([one, two]).success == 0.25


def test_a_label_vanishes_below_half_of_what_it_was():
    before, after = torch.tensor([0.2, 0.2, 0.0]), torch.tensor([0.09, 0.11, 0.0])
    assert vanished(before, after).tolist() == [True, False, False]


def test_a_map_counts_on_as_many_pixels_as_the_region_has():
    """Of two pixels the map's highest two hold one: one in common of three; a map of the region itself: all."""
    there = torch.tensor([[[True, True], [False, False]]]).expand(3, 2, 2).clone()
    there[2] = False
    values = torch.tensor([[[0.9, 0.1], [0.8, 0.0]], [[0.5, 0.5], [0.1, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    torch.testing.assert_close(overlap_of_equal_size(values, there).float(), torch.tensor([1 / 3, 1.0, 0.0]))


def test_the_share_of_the_best_that_show_it():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3]])
    there = torch.tensor([True, False, True])
    assert share_among_best(scores, there, 2).tolist() == [0.5, 0.5]
    assert share_among_best(scores, there, 9).tolist() == pytest.approx([2 / 3, 2 / 3])
