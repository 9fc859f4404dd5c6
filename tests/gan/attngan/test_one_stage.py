"""The generator of one stage and the residual discriminator: shapes, gradients, errors."""

import pytest
import torch

from gan.attngan.generator import AttnganError
from gan.attngan.one_stage import OneStageGenerator
from gan.attngan.residual_discriminator import ResidualDiscriminator

SENTENCES, WORDS = torch.randn(3, 6), torch.randn(3, 6, 4)
PADDING = torch.tensor([[False] * 4, [False, False, True, True], [False, True, True, True]])


def test_images_have_the_resolution_and_every_parameter_learns():
    generator = OneStageGenerator(resolution=16, width=2, embedding_dim=6, noise_dim=5)
    with torch.no_grad():  # the residual parts start at 0
        for block in generator.blocks:
            block.share.fill_(1.0)
            for affine in block.affine:
                affine.scale[-1].weight.normal_()
                affine.shift[-1].weight.normal_()
    made = generator(torch.randn(3, 5), SENTENCES, WORDS, PADDING)
    (images,) = made.images
    assert images.shape == (3, 3, 16, 16)
    assert generator.resolutions == [16]
    assert made.attention == []
    images.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


def test_a_generator_starts_as_its_shortcuts_whatever_the_sentence():
    generator = OneStageGenerator(resolution=8, width=2, embedding_dim=6, noise_dim=5)
    noise = torch.randn(3, 5)
    (one,) = generator(noise, SENTENCES, WORDS, PADDING).images
    (other,) = generator(noise, SENTENCES.flip(0), WORDS, PADDING).images
    assert torch.equal(one, other)


def test_a_discriminator_scores_each_image_with_its_sentence_alone():
    network = ResidualDiscriminator(resolution=16, width=4, embedding_dim=6)
    images = torch.randn(3, 3, 16, 16)
    together = network.logits(network(images), SENTENCES)
    alone = network.logits(network(images[1:2]), SENTENCES[1:2])
    assert together.fitting.shape == (3,)
    assert together.alone is None
    torch.testing.assert_close(together.fitting[1:2], alone.fitting)
    assert not torch.allclose(together.fitting, network.logits(network(images), SENTENCES.flip(0)).fitting)


@pytest.mark.parametrize("resolution", [4, 24, 100])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(AttnganError, match=f"images of {resolution} pixels; expected 8, 16, 32, 64"):
        OneStageGenerator(resolution=resolution)
    with pytest.raises(AttnganError, match=f"images of {resolution} pixels; expected 8, 16, 32, 64"):
        ResidualDiscriminator(resolution=resolution)


def test_images_of_another_size_are_refused():
    with pytest.raises(AttnganError, match=r"found images \(2, 3, 8, 8\), expected \(B, 3, 16, 16\)"):
        ResidualDiscriminator(resolution=16, width=2, embedding_dim=6)(torch.zeros(2, 3, 8, 8))
    with pytest.raises(AttnganError, match=r"found noise \(3, 4\)"):
        OneStageGenerator(8, 2, 6, 5)(torch.zeros(3, 4), SENTENCES, WORDS, PADDING)
