"""Zero-shot measures against slow loops and by hand; the public code's own values are in the parity case."""

import numpy as np
import pytest

from evaluation.zero_shot import (
    OFFSETS,
    SeenUnseen,
    ZeroShotError,
    accuracy,
    class_accuracy,
    cosines,
    harmonic_mean,
    nearest_classes,
    seen_unseen_curve,
)


@pytest.fixture
def draws():
    return np.random.default_rng(0)


def cosine(one, other):
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def test_cosines_of_zeros_are_zero(draws):
    rows, others = draws.normal(size=(3, 4)), draws.normal(size=(2, 4))
    rows[1] = 0
    found = cosines(rows, others)
    assert not found[1].any()
    for row in (0, 2):
        assert found[row] == pytest.approx([cosine(rows[row], other) for other in others])


def loop_of_votes(features, generated, classes, neighbours):
    found = []
    for row in features:
        order = sorted(range(len(generated)), key=lambda k: (-cosine(row, generated[k]), k))
        votes = [classes[k] for k in order[:neighbours]]
        found.append(max(sorted(set(votes)), key=votes.count))
    return found


@pytest.mark.parametrize("neighbours", [1, 4, 7, 100])
def test_nearest_classes_against_a_loop(draws, neighbours):
    generated, classes = draws.normal(size=(20, 3)), np.repeat([9, 4, 6, 5], 5)
    features = draws.normal(size=(1100, 3))  # more than are compared at a time
    found = nearest_classes(features, generated, classes, neighbours)
    some = [*range(30), 1023, 1024, 1099]
    assert found[some].tolist() == loop_of_votes(features[some], generated, classes, neighbours)


def test_equal_votes_go_to_the_lowest_class():
    found = nearest_classes(np.array([[1.0, 0.0]]), np.eye(2)[[0, 0, 1]], np.array([7, 3, 3]), neighbours=2)
    assert found.tolist() == [3]


def test_accuracies_by_hand():
    found, classes = np.array([0, 0, 1, 2]), np.array([0, 0, 0, 2])
    assert accuracy(found, classes) == 3 / 4
    assert class_accuracy(found, classes) == pytest.approx((2 / 3 + 1) / 2)
    assert harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)
    assert harmonic_mean(0.0, 0.7) == 0


def test_the_curve_against_the_published_loop(draws):
    pivots, is_unseen = draws.normal(size=(6, 4)), np.array([False] * 4 + [True] * 2)
    seen_classes, unseen_classes = draws.integers(0, 4, 30), draws.integers(4, 6, 20)
    seen = pivots[seen_classes] + draws.normal(size=(30, 4))
    unseen = pivots[unseen_classes] + draws.normal(size=(20, 4))
    found = seen_unseen_curve(seen, seen_classes, unseen, unseen_classes, pivots, is_unseen)
    assert len(found.offsets) == 400
    assert found.offsets[[0, -1]] == pytest.approx([-2, 1.99])
    for features, classes, share in ((seen, seen_classes, found.seen), (unseen, unseen_classes, found.unseen)):
        for number in range(0, 400, 7):
            answers = [
                np.argmax(
                    [cosine(row, pivot) + OFFSETS[number] * new for pivot, new in zip(pivots, is_unseen, strict=True)]
                )
                for row in features
            ]
            assert share[number] == np.mean(np.array(answers) == classes)
    assert found.unseen[0] == 0
    assert found.seen[-1] == 0
    assert 0.2 < found.area < 1


def test_unseen_classes_need_not_be_the_last(draws):
    pivots, rows = draws.normal(size=(5, 3)), draws.normal(size=(8, 3))
    order = np.array([3, 0, 4, 1, 2])  # new row of each old one
    unseen = np.array([False, False, False, True, True])
    moved, flags = np.empty_like(pivots), np.empty_like(unseen)
    moved[order], flags[order] = pivots, unseen
    known, novel = np.array([0, 1, 2, 0]), np.array([3, 4, 4, 3])
    first = seen_unseen_curve(rows[:4], known, rows[4:], novel, pivots, unseen)
    second = seen_unseen_curve(rows[:4], order[known], rows[4:], order[novel], moved, flags)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one, other)


def test_a_tie_goes_to_the_lower_class():
    pivots, offsets = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([-1.0, 0.0, 1.0])
    for flags, seen, unseen in (([False, True], [1, 1, 0], [0, 0, 1]), ([True, False], [1, 0, 0], [0, 1, 1])):
        known, novel = np.flatnonzero(~np.array(flags)), np.flatnonzero(flags)
        curve = seen_unseen_curve(pivots[:1], known, pivots[:1], novel, pivots, np.array(flags), offsets)
        assert curve.seen.tolist() == seen
        assert curve.unseen.tolist() == unseen


def test_the_area_by_hand():
    curve = SeenUnseen(np.arange(3), np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.5, 0.9]))
    assert curve.area == pytest.approx(0.5 * 0.7 + 0.4 * 0.3)


def test_what_cannot_be_compared(draws):
    rows = draws.normal(size=(4, 3))
    with pytest.raises(ZeroShotError, match=r"features \(4, 3\), generated ones \(2, 2\)"):
        nearest_classes(rows, np.ones((2, 2)), np.arange(2))
    with pytest.raises(ZeroShotError, match="20 neighbours of 0 generated features"):
        nearest_classes(rows, rows[:0], np.arange(0))
    with pytest.raises(ZeroShotError, match=r"found \(0,\) answers for \(0,\) images"):
        accuracy(np.arange(0), np.arange(0))
    with pytest.raises(ZeroShotError, match="4 images of 0 seen and 4 of 2 unseen classes"):
        seen_unseen_curve(rows, np.zeros(4, int), rows, np.zeros(4, int), rows[:2], np.array([True, True]))
