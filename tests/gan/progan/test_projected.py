"""The discriminator that looks through a segmenter: what it sees, what stays frozen, what it refuses."""

import pytest
import torch

from gan.progan.generator import ProganError
from gan.progan.projected import FeatureHead, ProjectedDiscriminator
from losses import relativistic_discriminator
from models.segmenter.network import AttributeSegmenter, SmallSegmenter

WIDTHS = [8, 8, 8, 8]  # 32 pixels


def make():
    torch.manual_seed(0)
    segmenter = AttributeSegmenter(SmallSegmenter((4, 6, 8)))
    return ProjectedDiscriminator(WIDTHS, segmenter, head_width=5, group=2, convolutions=1)


@pytest.mark.parametrize("level", [1, 3])
def test_a_logit_of_pixels_and_one_of_each_resolution(level):
    critic = make()
    images = torch.randn(4, 3, 4 * 2**level, 4 * 2**level)
    logits = critic(images, level)
    assert logits.shape == (4, 4)
    assert torch.equal(logits[:, 0], super(ProjectedDiscriminator, critic).forward(images, level))
    alone = torch.cat([critic(image[None], level)[:, 1:] for image in images])
    torch.testing.assert_close(logits[:, 1:], alone)  # the segmenter's statistics are not those of the batch


def test_the_segmenter_is_frozen_and_gradients_pass_through_it():
    critic = make().train()
    before = {name: value.clone() for name, value in critic.segmenter.state_dict().items()}
    images = torch.randn(4, 3, 32, 32, requires_grad=True)
    critic(images, 3)[:, 1:].sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(value.grad is None for value in critic.segmenter.parameters())
    assert all(torch.equal(before[name], value) for name, value in critic.segmenter.state_dict().items())
    assert all(head.logit.weight.grad.abs().sum() > 0 for head in critic.heads)


def test_channels_are_mixed_by_fixed_weights():
    torch.manual_seed(1)
    one, other = FeatureHead(6, 8, 5), FeatureHead(6, 8, 5)
    assert torch.equal(one.mixing, other.mixing)
    assert not torch.equal(one.last.weight, other.last.weight)
    assert "mixing" not in dict(one.named_parameters())


def test_losses_of_several_discriminators_add_up():
    real, fake = torch.randn(3, 4), torch.randn(3, 4)
    parts = [relativistic_discriminator(real[:, k], fake[:, k]) for k in range(4)]
    torch.testing.assert_close(relativistic_discriminator(real, fake), sum(parts))


def test_a_segmenter_without_small_features_is_refused():
    with pytest.raises(ProganError, match="found a Identity, expected a SmallSegmenter"):
        ProjectedDiscriminator(WIDTHS, AttributeSegmenter(torch.nn.Identity()))
