"""Accuracy of objects by hand, against every assignment, and of permuted captions."""

from itertools import permutations

import numpy as np
import pytest

from evaluation.attribute_accuracy import (
    ATTRIBUTES,
    AttributeAccuracyError,
    assign,
    attribute_accuracy,
)
from evaluation.r_precision import derangement


def item(text):
    """Return the attributes of "red cube small metal", shorter ones of the first of these."""
    return dict(zip(ATTRIBUTES, text.split(), strict=False))


def test_shares_by_hand():
    wanted = [
        [item("red cube small metal"), item("blue sphere large rubber")],
        [item("green cylinder")],
        [item("gray")],
    ]
    found = [
        [item("blue sphere small rubber"), item("red sphere small metal")],  # one size and one shape are wrong
        [item("green cylinder large metal")],  # two attributes of it are not asked for
        [],  # missing
    ]
    result = attribute_accuracy(found, wanted)
    assert result.right == {
        "colour": 3 / 4,
        "shape": 2 / 3,
        "size": 1 / 2,
        "material": 1,
        "colour_and_shape": 2 / 3,
        "all": 1 / 4,
    }
    assert result.asked == {"colour": 4, "shape": 3, "size": 2, "material": 2, "colour_and_shape": 3, "all": 4}
    assert (result.number, result.images) == (2 / 3, 3)
    assert result.metrics()["number"] == 2 / 3


def test_attributes_of_two_objects_must_not_be_mixed_up():
    """A red sphere and a blue cube have every word of "a red cube and a blue sphere", and no object of it."""
    result = attribute_accuracy([[item("red sphere"), item("blue cube")]], [[item("red cube"), item("blue sphere")]])
    assert result.right == {"colour": 1, "shape": 0, "colour_and_shape": 0, "all": 0}


def test_no_assignment_agrees_more():
    random = np.random.default_rng(0)
    values = [("red", "blue"), ("cube", "ball"), ("large", "small"), ("metal", "rubber")]
    for _ in range(200):
        found, wanted = (
            [dict(zip(ATTRIBUTES, (random.choice(pair) for pair in values), strict=True)) for _ in range(count)]
            for count in random.integers(1, 4, 2)
        )
        assigned = assign(found, wanted)
        used = [id(one) for one in assigned if one is not None]
        assert len(used) == len(set(used)) == min(len(found), len(wanted))

        def agree(pairs):
            return sum(a[name] == b[name] for a, b in pairs if b is not None for name in ATTRIBUTES)

        padded = found + [None] * len(wanted)
        best = max(agree(zip(wanted, order, strict=False)) for order in permutations(padded, len(wanted)))
        assert agree(zip(wanted, assigned, strict=True)) == best


@pytest.mark.parametrize("order", [1, -1])
def test_a_tie_goes_to_the_colour(order):
    found = [item("red ball small rubber"), item("blue cube small rubber")][::order]
    assert assign(found, [item("red cube large metal")]) == [item("red ball small rubber")]


def test_captions_of_other_images_are_met_by_chance():
    wanted = [[{"colour": str(number % 8)}] for number in range(4000)]
    chance = attribute_accuracy([wanted[row] for row in derangement(4000, seed=0)], wanted)
    assert chance.right["colour"] == pytest.approx(1 / 8, abs=0.025)  # standard error .005


def test_what_cannot_be_compared():
    with pytest.raises(AttributeAccuracyError, match="found objects of 1 images and captions of 2"):
        attribute_accuracy([[]], [[], []])
    with pytest.raises(AttributeAccuracyError, match="no caption asks for an attribute"):
        attribute_accuracy([[item("red")]], [[]])
