"""FID, KID, precision, recall and inception score against slow loops over their definitions and closed forms."""

import itertools
import json

import numpy as np
import pytest

from evaluation.frechet import GenerationError, frechet, moments
from evaluation.image_metrics import BIRDS_NOTE, MetricSettings, image_metrics


class Features:
    """What a network without classes says of itself."""

    name = "features by hand"
    resize = "none"

    def __call__(self, images):
        raise NotImplementedError


class Classes(Features):
    """A network whose features are logits."""

    def logits(self, features):
        return features


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return random.standard_normal((40, 6)), random.standard_normal((50, 6)) * 1.3 + 0.5


def slow_kid(generated, real):
    """Squared maximum mean discrepancy, unbiased, of the kernel (x y / D + 1)^3 of arXiv:1801.01401."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    within = [np.mean([kernel(x, y) for x, y in itertools.permutations(part, 2)]) for part in (generated, real)]
    return sum(within) - 2 * np.mean([kernel(x, y) for x in generated for y in real])


def slow_share_inside(points, others, neighbour):
    """Share of ``points`` in the ball of any of ``others``, which reaches its neighbour of this number."""
    inside = 0
    for point in points:
        for other in others:
            radius = sorted(np.linalg.norm(other - third) for third in others)[neighbour]  # [0] is itself
            if np.linalg.norm(point - other) <= radius:
                inside += 1
                break
    return inside / len(points)


def test_all_figures_agree_with_their_definitions(rows):
    generated, real = rows
    settings = MetricSettings(kid_subsets=2, neighbours=2)
    found = image_metrics(generated, real[:40], Features(), 64, settings)
    values = {name: figure.value for name, figure in found.figures.items()}
    assert (
        values
        == {
            "fid": pytest.approx(frechet(*moments(generated), *moments(real[:40]))),
            "kid": pytest.approx(slow_kid(generated, real[:40])),  # subsets of all images are the whole
            "precision": pytest.approx(slow_share_inside(generated, real[:40], 2)),
            "recall": pytest.approx(slow_share_inside(real[:40], generated, 2)),
        }
    )
    assert 0 < values["precision"] < 1
    assert found.figures["kid"].std is None
    assert found.figures["kid"].protocol == "cubic kernel, unbiased, of all 40 images"


def test_inception_score_is_the_mean_of_the_parts(rows):
    """exp of the mean of KL(p(y|x) || p(y)), arXiv:1606.03498, over the parts of a seeded order."""
    generated, real = rows
    order = np.random.RandomState(5).permutation(40)
    scores = []
    for part in np.split(generated[order], 4):
        shares = np.exp(part) / np.exp(part).sum(1, keepdims=True)
        scores.append(np.exp((shares * np.log(shares / shares.mean(0))).sum(1).mean()))
    found = image_metrics(generated, real, Classes(), 64, MetricSettings(splits=4, seed=5)).figures["inception_score"]
    assert found.value == pytest.approx(np.mean(scores))
    assert found.std == pytest.approx(np.std(scores))


def test_certain_and_equally_frequent_classes_reach_their_number():
    certain = 1000 * np.eye(4)[np.arange(40) % 4]
    assert image_metrics(certain, certain, Classes(), 8, MetricSettings(splits=1)).figures[
        "inception_score"
    ].value == pytest.approx(4)


def test_equal_and_far_sets(rows):
    same = image_metrics(rows[0], rows[0], Features(), 64).figures
    far = image_metrics(rows[0], rows[1] + 100, Features(), 64).figures
    assert same["fid"].value == pytest.approx(0, abs=1e-9)
    assert (same["precision"].value, same["recall"].value) == (1, 1)
    assert (far["precision"].value, far["recall"].value) == (0, 0)
    assert far["fid"].value > 1e4
    assert far["kid"].value > 1e3


def test_every_figure_has_its_protocol(rows):
    found = image_metrics(*rows, Classes(), 64, MetricSettings(kid_subset_size=30), BIRDS_NOTE)
    assert found.protocol == (
        "40 generated and 50 real images of 64 pixels, resized none, features of features by hand, seed 2020"
    )
    assert found.figures["kid"].protocol == "cubic kernel, unbiased, 100 draws of 30 images"
    assert found.figures["kid"].std > 0
    assert found.figures["inception_score"].protocol == (
        "10 parts of 4 images, 6 classes; not comparable with 4.36: that used StackGAN's fine-tuned network"
    )
    assert found.figures["fid"].protocol == "covariances of 6 features"
    assert "fewer images than features" in image_metrics(rows[0][:6], rows[1], Features(), 64).figures["fid"].protocol
    assert json.loads(json.dumps(found.as_dict()))["figures"]["recall"]["better"] == "higher"


def test_the_same_seed_draws_the_same(rows):
    settings = MetricSettings(kid_subset_size=10, seed=1)
    first, again = (image_metrics(*rows, Features(), 64, settings).figures["kid"] for _ in range(2))
    other = image_metrics(*rows, Features(), 64, MetricSettings(kid_subset_size=10, seed=2)).figures["kid"]
    assert first == again
    assert first.value != other.value


def test_too_few_images_and_features_that_are_not_finite(rows):
    with pytest.raises(GenerationError, match="found 3 generated and 50 real images; expected at least 4 of each"):
        image_metrics(rows[0][:3], rows[1], Features(), 64)
    with pytest.raises(GenerationError, match="rows of finite numbers"):
        image_metrics(np.full((40, 6), np.nan), rows[1], Features(), 64)
