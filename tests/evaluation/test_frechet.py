"""Fréchet distances against closed forms, SciPy's square root and torch-fidelity's own computation."""

import numpy as np
import pytest
import torch
from scipy import linalg

from evaluation.frechet import (
    GenerationError,
    LabelFeatures,
    RandomFeatures,
    features_of,
    frechet,
    frechet_distance,
    moments,
    to_uint8,
)


@pytest.fixture
def rows():
    random = np.random.RandomState(0)
    mix = random.standard_normal((6, 6))
    return random.standard_normal((50, 6)) @ mix, random.standard_normal((40, 6)) * 2 + 1


def test_the_distance_of_a_set_to_itself_is_zero(rows):
    assert frechet(*moments(rows[0]), *moments(rows[0])) == pytest.approx(0, abs=1e-9)


def test_diagonal_gaussians_in_closed_form():
    """|m1 - m2|^2 + sum (s1 - s2)^2 for independent values with deviations s."""
    mean_a, mean_b = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0])
    a, b = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 4.0])
    found = frechet(mean_a, np.diag(a**2), mean_b, np.diag(b**2))
    assert found == pytest.approx(5 + (a - b) @ (a - b))
    assert frechet(mean_b, np.diag(b**2), mean_a, np.diag(a**2)) == pytest.approx(found)


def test_one_feature_is_a_plain_number():
    a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [5.0]])
    assert frechet(*moments(a), *moments(b)) == pytest.approx(16 + 2)


def test_the_matrix_root_of_scipy_agrees(rows):
    (mean_a, cov_a), (mean_b, cov_b) = map(moments, rows)
    root = linalg.sqrtm(cov_a @ cov_b).real
    expected = np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-9)


def test_torch_fidelity_agrees(rows):
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = [fid.fid_features_to_statistics(torch.from_numpy(part)) for part in rows]
    expected = fid.fid_statistics_to_metric(*statistics, verbose=False)
    assert frechet(*moments(rows[0]), *moments(rows[1])) == pytest.approx(next(iter(expected.values())), rel=1e-9)


def test_fewer_images_than_features_give_a_finite_distance():
    random = np.random.RandomState(1)
    a, b = random.standard_normal((5, 30)), random.standard_normal((4, 30))
    assert np.isfinite(frechet(*moments(a), *moments(b)))


@pytest.mark.parametrize("wrong", [np.zeros((1, 3)), np.zeros(4), np.array([[0.0, np.nan], [1.0, 1.0]])])
def test_features_that_cannot_be_used(wrong):
    with pytest.raises(GenerationError, match="expected at least 2 rows of finite numbers"):
        moments(wrong)


def samples(number, brightness, size=20):
    generator = torch.Generator().manual_seed(brightness)
    noise = torch.randint(0, 60, (number, 3, size, size), generator=generator)
    return (noise + brightness).to(torch.uint8)


def test_random_features_tell_images_apart_and_name_the_protocol():
    network = RandomFeatures(width=8, size=16)
    dark, dark_too, bright = (
        features_of(batches.split(16), network) for batches in (samples(64, 10), samples(64, 11), samples(64, 150))
    )
    near, far = (frechet_distance(other, dark, network, resolution=20) for other in (dark_too, bright))
    assert far.value > 10 * near.value
    assert near.as_dict() == {
        "value": near.value,
        "generated": 64,
        "real": 64,
        "resolution": 20,
        "features": "random convolutions (3, 16, 32, 8), seed 0",
        "resize": "bilinear with antialiasing to 16",
    }
    assert dark.shape == (64, 64)
    np.testing.assert_array_equal(features_of([samples(64, 10)[:16]], RandomFeatures(width=8, size=16)), dark[:16])


def test_label_features_are_shares_of_pixels_in_cells():
    class Bright:
        labels = ("bright", "all")
        categories = ("light", "light")

        def segment(self, images):
            return torch.stack([images.mean(dim=1) > 0, images.mean(dim=1) > -2], dim=1)

    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    images[0, :, :2, 2:] = 255  # the whole upper right quarter
    images[0, :, 3, 0] = 255  # a quarter of the lower left one
    network = LabelFeatures(Bright(), "by hand")
    assert network(images).tolist() == [[0, 1, 0.25, 0, 1, 1, 1, 1]]
    assert network.name == "shares of 2 labels in 2 x 2 cells, by hand"


def test_nothing_to_measure():
    with pytest.raises(GenerationError, match="no images"):
        features_of([], RandomFeatures(width=8))


def test_images_become_bytes():
    images = torch.tensor([-2.0, -1.0, 0.0, 0.999, 3.0])
    assert to_uint8(images).tolist() == [0, 0, 128, 255, 255]
