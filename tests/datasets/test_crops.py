"""Every cut equals torchvision's to the pixel, and draws the same random numbers."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from datasets.crops import centre_crop, random_crop, random_mirror, random_resized_crop, resize_shorter

SIZES = [
    (60, 50),
    (50, 60),
    (64, 64),
    (300, 41),
    (33, 400),
    (1000, 3),
    (2, 90),
]  # width, height; in the last two no draw fits


def example(size):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("ours", "theirs", "length"),
    [
        (resize_shorter, lambda image, length: v2.functional.resize(image, [length]), 37),
        (resize_shorter, lambda image, length: v2.functional.resize(image, [length]), 64),
        (centre_crop, lambda image, length: v2.functional.center_crop(image, [length]), 2),
        (random_crop, lambda image, length: v2.RandomCrop(length)(image), 2),
        (random_resized_crop, lambda image, length: v2.RandomResizedCrop(length)(image), 32),
        (lambda image, _: random_mirror(image), lambda image, _: v2.RandomHorizontalFlip()(image), 0),
    ],
)
def test_the_same_pixels_and_draws_as_torchvision(size, ours, theirs, length):
    for seed in range(30):
        cut, following = [], []
        for function in (ours, theirs):
            torch.manual_seed(seed)
            cut.append(np.asarray(function(example(size), length)))
            following.append(float(torch.rand(())))
        np.testing.assert_array_equal(*cut)
        assert following[0] == following[1]
