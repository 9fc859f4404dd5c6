"""DiffAugment: each change by hand, gradients, and repeatability."""

import pytest
import torch

from gan.augment import DRAWS, DiffAugment


def draws(count, seed=0):
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_nothing_changes_without_strength():
    images = torch.randn(2, 3, 8, 8)
    nothing = DiffAugment(translation=0.0, cutout=0.0)
    assert torch.equal(nothing(images, draws(len(images))), images)


def test_images_are_shifted_whole_pixels_and_filled_with_zeros():
    images = torch.arange(1.0, 65).view(1, 1, 8, 8).repeat(20, 3, 1, 1)
    shifted = DiffAugment(translation=0.25, cutout=0.0)(images, draws(len(images)))
    padded = torch.nn.functional.pad(images[0, 0], (2, 2, 2, 2))
    windows = {(row, column): padded[row : row + 8, column : column + 8] for row in range(5) for column in range(5)}
    offsets = set()
    for one in shifted:
        (found,) = [offset for offset, window in windows.items() if torch.equal(one[0], window)]
        offsets.add(found)
    assert len(offsets) > 5


def test_a_square_is_cut_out_and_may_stick_out():
    cut = DiffAugment(translation=0.0, cutout=0.5)(torch.ones(50, 3, 8, 8), draws(50))
    counts = (cut[:, 0] == 0).sum((1, 2))
    assert counts.max() == 16
    assert counts.min() < 16
    assert torch.equal(cut[:, 0], cut[:, 2])


def test_colours_change_by_factors_about_grey_and_the_mean():
    images = torch.tensor([1.0, 0.0, -0.4]).view(1, 3, 1, 1).repeat(100, 1, 4, 4)
    saturated = DiffAugment(translation=0.0, cutout=0.0, saturation=0.5)(images, draws(len(images)))
    torch.testing.assert_close(saturated.mean(1), images.mean(1))  # grey stays
    factors = (saturated[:, 0, 0, 0] - 0.2) / 0.8
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5
    brighter = DiffAugment(translation=0.0, cutout=0.0, brightness=0.2)(images, draws(len(images))) - images
    assert brighter.abs().max() <= 0.1 + 1e-6
    assert brighter.std() > 0.03


def test_the_same_draws_give_the_same_change_and_gradients_reach_the_images():
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    augment = DiffAugment(brightness=0.3, contrast=0.3, saturation=0.3)
    one = augment(images, draws(4, 3))
    assert torch.equal(one, augment(images, draws(4, 3)))
    assert not torch.equal(one, augment(images, draws(4, 4)))
    one.sum().backward()
    assert images.grad.abs().sum() > 0


def test_strength_is_a_share():
    with pytest.raises(ValueError, match="cutout"):
        from config import check_values

        check_values(DiffAugment(cutout=1.5))
