"""The small encoder of regions: shapes, gradients, errors."""

import pytest
import torch

from models.damsm import EncoderInputError
from models.region_encoders import SmallRegionEncoder


def test_regions_and_images_share_a_space_and_every_parameter_learns():
    network = SmallRegionEncoder(embedding_dim=6, width=4, stages=2)
    regions, images = network(torch.randn(2, 3, 16, 16))
    assert regions.shape == (2, 6, 4, 4)
    assert images.shape == (2, 6)
    (regions.square().sum() + images.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_images_that_are_too_small_are_refused():
    with pytest.raises(EncoderInputError, match=r"found images \(1, 3, 8, 4\), expected .* at least 8 pixels"):
        SmallRegionEncoder(6, 4, 2)(torch.zeros(1, 3, 8, 4))
