"""Networks of zero-shot learning: shapes, gradients, initial weights. Values are in the parity case ``zero_shot``."""

import math

import pytest
import torch

from models.feature_gan import FeatureDiscriminator, FeatureGenerator


@pytest.mark.parametrize("reduced", [None, 4])
def test_the_generator_by_hand(reduced):
    torch.manual_seed(0)
    model = FeatureGenerator(5, 3, noise_dim=2, reduced_dim=reduced, width=7)
    noise, documents = torch.randn(6, 2), torch.rand(6, 5)
    said = documents if reduced is None else documents @ model.reduce.weight.T
    hidden = torch.cat([noise, said], dim=1) @ model.hidden.weight.T  # biases are 0
    expected = torch.where(hidden > 0, hidden, 0.01 * hidden) @ model.features.weight.T
    found = model(noise, documents)
    torch.testing.assert_close(found, expected.tanh())
    model.bounded = False
    torch.testing.assert_close(model(noise, documents), expected)


def test_weights_start_as_published():
    torch.manual_seed(0)
    for model in (FeatureGenerator(300, 200, 50, 100, 400), FeatureDiscriminator(20, 200, 400)):
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                assert not value.any()
            elif value.numel() > 5000:
                assert value.std().item() == pytest.approx(math.sqrt(2 / sum(value.shape)), rel=0.05)


def test_every_weight_learns():
    torch.manual_seed(0)
    generator, discriminator = FeatureGenerator(5, 3, 2, 4, 7), FeatureDiscriminator(6, 3, 7)
    scores = discriminator(generator(torch.randn(8, 2), torch.rand(8, 5)))
    assert tuple(scores.real.shape) == (8,)
    assert tuple(scores.classes.shape) == (8, 6)
    (scores.real.sum() + scores.classes.square().sum()).backward()
    for model in (generator, discriminator):
        assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
