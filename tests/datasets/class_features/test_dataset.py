"""Sets of features: batches, scaling, and what does not fit."""

import numpy as np
import pytest

from common.errors import TooFewRowsError
from datasets.class_features.dataset import ClassFeatures, ClassFeaturesError, FeatureSet, HeldOut, Labelled


def replace(content, **changes):
    return FeatureSet(**(vars(content) | changes))


def labelled(classes, seed=0):
    classes = np.array(classes)
    features = np.random.default_rng(seed).normal(2, 3, (len(classes), 4)).astype(np.float32)
    return Labelled(features, classes)


@pytest.fixture
def content():
    return FeatureSet(
        "here", ["a", "b", "c", "d"], np.eye(4, dtype=np.float32), 2, labelled([0, 1, 1, 0, 0, 1, 1]),
        test=HeldOut(np.array([3]), labelled([3, 3], 1), labelled([0, 1], 2)),
        validation=HeldOut(np.array([2]), labelled([2], 3), None),
    )  # fmt: skip


def test_batches_run_through_all_images_each_time_in_another_order(content):
    data = ClassFeatures(content, 3, scaling="none", seed=1)
    batches = [data.batch(number) for number in range(7)]
    rows = [
        int(np.flatnonzero((content.train.features == row.numpy()).all(axis=1))[0])
        for features, _ in batches
        for row in features
    ]
    passes = [rows[first : first + 7] for first in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert passes[0] != passes[1]
    found = np.concatenate([classes.numpy() for _, classes in batches])
    assert found.tolist() == content.train.classes[rows].tolist()
    assert data.batch(2)[0].equal(batches[2][0])


def test_ranks_share_a_batch(content):
    alone = ClassFeatures(content, 4, seed=1)
    parts = [ClassFeatures(content, 4, seed=1, rank=rank, world_size=2).batch(3) for rank in (0, 1)]
    for one, (first, second) in zip(alone.batch(3), zip(*parts, strict=True), strict=True):
        assert one[:2].equal(first)
        assert one[2:].equal(second)


@pytest.mark.parametrize("scaling", ["deviation", "variance", "range", "none"])
def test_every_part_is_scaled_by_the_training_features(content, scaling):
    train = content.train.features.astype(np.float64)
    mean, std, low, high = train.mean(), train.std(), train.min(axis=0), train.max(axis=0)
    expected = {
        "deviation": lambda x: (x - mean) / std,
        "variance": lambda x: (x - mean) / std**2,
        "range": lambda x: (x - low) / (high - low),
        "none": lambda x: x,
    }[scaling]
    found = ClassFeatures(content, 2, scaling=scaling).content
    for part in ("train", "test", "validation"):
        before, after = getattr(content, part), getattr(found, part)
        pairs = [(before, after)] if part == "train" else zip(before[1:], after[1:], strict=True)
        for one, other in pairs:
            assert (one is None) == (other is None)
            if one is not None:
                assert other.features == pytest.approx(expected(one.features), rel=1e-4, abs=1e-5)
                assert np.array_equal(one.classes, other.classes)


def test_pivots_are_the_means_of_the_seen_classes(content):
    found = content.pivots()
    assert found[1] == pytest.approx(content.train.features[[1, 2, 5, 6]].mean(axis=0))
    assert found.shape == (2, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a"]}, r"documents \(4, 4\) of 1 classes with 0 named words; expected"),
        ({"words": ["x"]}, "with 1 named words"),
        ({"seen_count": 4}, "4 of 4 classes are trained on; expected some, and not all"),
        ({"train": labelled([0, 1, 2])}, "training images: classes from 0 to 2, expected 0 to 1"),
        ({"train": labelled([1, 1])}, "1 of 2 seen classes have no training image, the first is a"),
        ({"train": Labelled(np.ones((2, 4)), np.zeros(3, int))}, r"features \(2, 4\) and classes \(3,\)"),
        ({"train": Labelled(np.full((2, 4), np.nan), np.array([0, 1]))}, "training images: a feature is not finite"),
        ({"documents": np.full((4, 4), np.inf)}, "a document holds numbers that are not finite"),
        (
            {"test": HeldOut(np.array([2]), labelled([3]), None)},
            "unseen test: an image is of a class that is not among",
        ),
        (
            {"test": HeldOut(np.array([1]), labelled([3]), None)},
            "unseen test: an image is of a class that is not among",
        ),
        ({"test": HeldOut(np.array([3]), labelled([3]), labelled([3]))}, "seen test images: classes from 3 to 3"),
        ({"test": HeldOut(np.array([3]), labelled([]), None)}, r"features \(0, 4\) .* n from 1 on"),
    ],
)
def test_parts_that_do_not_fit(content, changes, message):
    with pytest.raises(ClassFeaturesError, match=message):
        replace(content, **changes)


def test_features_that_are_all_alike(content):
    same = replace(content, train=Labelled(np.ones((2, 4), np.float32), np.array([0, 1])))
    for scaling in ("deviation", "variance", "range"):
        with pytest.raises(ClassFeaturesError, match="here: all training features are alike"):
            ClassFeatures(same, 2, scaling=scaling)


def test_a_constant_feature_stays_when_ranges_are_scaled(content):
    train = content.train.features.copy()
    train[:, 1] = 5
    found = ClassFeatures(replace(content, train=Labelled(train, content.train.classes)), 2, scaling="range")
    assert not found.content.train.features[:, 1].any()


def test_fewer_images_than_processes(content):
    with pytest.raises(TooFewRowsError, match="7 training images for 8 processes"):
        ClassFeatures(content, 8, world_size=8)


def test_digests_tell_other_classes_and_documents(content):
    first = ClassFeatures(content, 2).digests()
    assert first["training set"].startswith("7 rows with digest ")
    moved = replace(content, train=Labelled(content.train.features, content.train.classes[::-1].copy()))
    assert ClassFeatures(moved, 2).digests()["training set"] != first["training set"]
    assert ClassFeatures(replace(content, documents=2 * content.documents), 2).digests() != first
