"""R-precision against a slow loop, against precisions that are known, and as DM-GAN's code counts."""

import numpy as np
import pytest

from evaluation import r_precision as module
from evaluation.r_precision import (
    Pairs,
    RPrecisionError,
    RPrecisionSettings,
    derangement,
    r_precision,
    verdict,
    wrong_rows,
)


@pytest.fixture
def pairs():
    """60 sentences and noisy images of them, in 7 classes."""
    random = np.random.default_rng(0)
    sentences = random.standard_normal((60, 5))
    images = sentences * 3 + 2 * random.standard_normal((60, 5))
    return Pairs(sentences, images, random.integers(0, 7, 60))


def slow_hits(sentences, images, drawn, ties_win):
    """Go caption by caption, with the cosine of the definition."""
    hits = []
    for row, image in enumerate(images):
        similar = [
            sentences[column] @ image / np.linalg.norm(sentences[column]) / np.linalg.norm(image)
            for column in [row, *drawn[row]]
        ]
        best = max(similar)
        winners = [place for place, value in enumerate(similar) if value == best]
        hits.append(0.0 if 0 not in winners else 1.0 if ties_win else 1 / len(winners))
    return np.array(hits)


@pytest.mark.parametrize("at_once", [1, 2**24])
def test_a_slow_loop_agrees(pairs, monkeypatch, at_once):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    sentences, images, classes = pairs
    random = np.random.default_rng(3)
    drawn = wrong_rows(classes, 20, random)
    expected = slow_hits(sentences, images, drawn, ties_win=False)
    found = r_precision(pairs, RPrecisionSettings(wrong=20, folds=4, seed=3))
    assert 0.2 < found.mean < 0.8
    assert found.mean == pytest.approx(expected.mean())
    folds = expected[random.permutation(60)].reshape(4, 15).mean(1)
    assert found.std == pytest.approx(folds.std())
    assert (found.images, found.chance) == (60, pytest.approx(1 / 21))


def test_published_folds_lose_their_last_image(pairs):
    sentences, images, classes = pairs
    random = np.random.default_rng(1)
    drawn = wrong_rows(classes, 20, random, replace=True)
    assert any(len(set(row)) < 20 for row in drawn.tolist())
    hits = slow_hits(sentences, images, drawn, ties_win=True)[random.permutation(60)]
    folds = [hits[20 * fold : 20 * (fold + 1) - 1].mean() for fold in range(3)]  # DM-GAN's slice
    found = r_precision(pairs, RPrecisionSettings(wrong=20, folds=3, seed=1, published=True))
    assert (found.mean, found.std) == (pytest.approx(np.mean(folds)), pytest.approx(np.std(folds)))
    assert found.images == 57


def test_wrong_captions_are_different_ones_of_other_classes():
    classes = np.array([2, 0, 1, 0, 2, 2, 5])
    for seed in range(20):
        drawn = wrong_rows(classes, 4, np.random.default_rng(seed))
        for row, others in enumerate(drawn.tolist()):
            assert len(set(others)) == 4
            assert all(classes[other] != classes[row] for other in others)
    every = wrong_rows(classes, 4, np.random.default_rng(0))[0].tolist()
    assert sorted(every) == [1, 2, 3, 6]  # all that are left for class 2


def test_every_caption_of_another_class_is_drawn_equally_often():
    classes = np.array([0, 1, 1, 2, 3])
    random = np.random.default_rng(0)
    drawn = np.concatenate([wrong_rows(classes, 2, random)[1] for _ in range(3000)])
    counts = np.bincount(drawn, minlength=5) / 3000
    np.testing.assert_allclose(counts, [2 / 3, 0, 0, 2 / 3, 2 / 3], atol=0.04)


def test_perfect_pairs_reach_one_and_permuted_ones_chance():
    random = np.random.default_rng(0)
    rows, classes = random.standard_normal((2000, 16)), np.arange(2000)
    assert r_precision(Pairs(rows, 5 * rows, classes)).mean == 1
    permuted = r_precision(Pairs(rows, rows[random.permutation(2000)], classes))
    assert permuted.mean == pytest.approx(permuted.chance, abs=0.01)  # 0.01, standard error 0.002


def test_no_index_stays_where_it_was():
    for count in (2, 3, 50):
        order = derangement(count, seed=count)
        assert sorted(order) == list(range(count))
        assert not (order == np.arange(count)).any()


def test_a_judge_that_cannot_tell_real_pairs_from_permuted_ones_is_found(pairs):
    settings = RPrecisionSettings(wrong=20, folds=4)
    fair = verdict(pairs._replace(images=-pairs.images), pairs, settings)
    assert fair.able
    assert fair.generated.mean == 0 < fair.permuted.mean < fair.real.mean
    assert fair.real == r_precision(pairs, settings)
    noise = np.random.default_rng(1).standard_normal((60, 5))
    assert not verdict(pairs, pairs._replace(images=noise), settings).able


def test_a_tie_with_one_counts_half_and_as_published_wholly():
    """Captions 0 and 1 are equal and of different classes; image 2's is its own."""
    sentences = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    three = Pairs(sentences, sentences, np.array([0, 1, 2]))
    assert r_precision(three, RPrecisionSettings(wrong=2, folds=1)).mean == pytest.approx((0.5 + 0.5 + 1) / 3)
    doubled = Pairs(*(np.concatenate([part, part]) for part in three))  # a fold leaves its last image out
    assert r_precision(doubled, RPrecisionSettings(wrong=2, folds=1, published=True)).mean == 1


def test_equal_captions_tie_although_their_batches_rounded_them_differently():
    random = np.random.default_rng(0)
    row = random.standard_normal(256).astype(np.float32)
    sentences = np.stack([row, row + np.float32(1e-7), -row])
    three = Pairs(sentences, np.stack([row, row, -row]), np.arange(3))
    assert r_precision(three, RPrecisionSettings(wrong=2, folds=1)).mean == pytest.approx(2 / 3)


def test_the_same_seed_gives_the_same_and_another_one_another(pairs):
    first, again, other = (r_precision(pairs, RPrecisionSettings(wrong=5, seed=seed)) for seed in (4, 4, 5))
    assert first == again
    assert first.mean != other.mean
    assert first.as_dict()["chance"] == pytest.approx(1 / 6)
    assert first.as_dict()["settings"]["seed"] == 4


@pytest.mark.parametrize(
    ("change", "settings", "match"),
    [
        ({"images": np.zeros((60, 4))}, {}, r"found sentences \(60, 5\), images \(60, 4\)"),
        ({"classes": np.zeros(59, int)}, {}, r"classes \(59,\); expected \(N, D\), \(N, D\) and \(N,\)"),
        ({"classes": np.zeros(60, int)}, {}, r"class has 60 of 60 images, which leaves 0 captions of other classes"),
        (
            {"classes": np.zeros(60, int)},
            {"published": True},
            "leaves 0 captions of other classes; expected at least 5",
        ),
        ({}, {"wrong": 59}, r"expected at least 59: give more images, or fewer wrong captions"),
        ({}, {"folds": 61}, r"found 60 images, expected at least 61; give more, or fewer folds"),
        ({"images": np.full((60, 5), np.nan)}, {}, r"embeddings that are not finite"),
    ],
)
def test_what_cannot_be_measured(pairs, change, settings, match):
    with pytest.raises(RPrecisionError, match=match):
        r_precision(pairs._replace(**change), RPrecisionSettings(**({"wrong": 5} | settings)))
