"""Latents and classes of any generator, images along a direction and between two latents."""

import pytest
import torch

from gan.biggan.generator import BigganGenerator
from gan.directions.directions import DirectionError
from gan.directions.subjects import Subjects, class_index, class_names, draw_images, draw_subjects
from gan.directions.travel import interpolated, journey, strip
from gan.progan.generator import ProganGenerator


@pytest.fixture(scope="module")
def biggan():
    torch.manual_seed(0)
    return BigganGenerator([8, 8, 4], latent_dim=24, num_classes=3, class_dim=4).eval()


@pytest.fixture(scope="module")
def progan():
    torch.manual_seed(0)
    return ProganGenerator(6, [8, 4]).eval()


def test_subjects_depend_on_the_seed_alone_and_have_classes_where_there_are_some(biggan, progan):
    first, again = draw_subjects(biggan, 50, seed=3), draw_subjects(biggan, 50, seed=3)
    assert torch.equal(first.latents, again.latents)
    assert torch.equal(first.classes, again.classes)
    assert set(first.classes.tolist()) == {0, 1, 2}
    assert draw_subjects(biggan, 2, of_class=1).classes.tolist() == [1, 1]
    assert draw_subjects(progan, 2).classes is None
    cut = draw_subjects(progan, 500, std=2.0, truncation=0.5).latents
    assert 0.9 < cut.abs().max() <= 1.0  # half of two deviations
    with pytest.raises(DirectionError, match=r"std=0\.0 and truncation=None, expected values above 0"):
        draw_subjects(progan, 1, std=0.0)


def test_classes_are_found_by_name_and_number(biggan, progan):
    assert class_names(biggan) == ["0", "1", "2"]
    assert class_index(biggan, "2") == 2
    biggan.class_names = ["cube", "sphere", "cylinder"]
    try:
        assert class_index(biggan, "sphere") == class_index(biggan, 1) == 1
        with pytest.raises(DirectionError, match=r"no class 'cub'; expected 0 to 2, or a name such as cube"):
            class_index(biggan, "cub")
        with pytest.raises(DirectionError, match="there is no class 3; expected 0 to 2"):
            class_index(biggan, 3)
    finally:
        del biggan.class_names
    with pytest.raises(DirectionError, match="ProganGenerator has no classes"):
        class_index(progan, 0)


def test_a_strip_holds_the_image_at_zero_and_counts_alpha_in_unit_vectors(biggan):
    subject = draw_subjects(biggan, 1)
    direction = torch.randn(24)
    found = strip(biggan, subject, direction, [-2.0, 0.0, 2.0])
    torch.testing.assert_close(found[1:2], draw_images(biggan, subject))
    moved = Subjects(subject.latents + 2 * direction / direction.norm(), subject.classes)
    torch.testing.assert_close(found[2:], draw_images(biggan, moved))
    with pytest.raises(DirectionError, match="the directions have 5 numbers and the latents 24"):
        strip(biggan, subject, torch.randn(5), [1.0])


def test_midpoints_are_equally_far(progan):
    start, end = torch.zeros(6), torch.full((6,), 4.0)
    torch.testing.assert_close(interpolated(start, end, 3)[:, 0], torch.tensor([0.0, 1, 2, 3, 4]))
    assert interpolated(start, end, 0).shape == (2, 6)
    subject = draw_subjects(progan, 1)
    images = journey(progan, subject, end, 1)
    torch.testing.assert_close(images[:1], draw_images(progan, subject))
    with pytest.raises(DirectionError, match="expected two of one size"):
        interpolated(start, torch.zeros(5), 1)
