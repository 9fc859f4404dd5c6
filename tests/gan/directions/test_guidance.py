"""Two guidance scales: the ends of the formula are images without guidance, in images and in a layer."""

import pytest
import torch

from gan.biggan.generator import BigganGenerator
from gan.directions.directions import DirectionError
from gan.directions.guidance import guided, guided_images
from gan.hooks import LayerNameError


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    made = BigganGenerator([8, 8, 4], latent_dim=24, num_classes=3, class_dim=4).eval()
    made.null_class = 2
    return made


def test_the_formula_by_hand():
    """1 + 2 (3 - 1) + 0.5 (7 - 3) = 7."""
    assert guided(torch.tensor(1.0), torch.tensor(3.0), torch.tensor(7.0), 2.0, 0.5) == 7


@pytest.mark.parametrize("layer", [None, "layer1"])
def test_scales_of_one_are_the_plain_image_and_a_word_of_zero_leaves_the_class_out(generator, layer):
    latents, words, none = torch.randn(2, 24), torch.tensor([0, 1]), torch.tensor([2, 2])
    torch.testing.assert_close(
        guided_images(generator, latents, words, 1, 1, layer), generator(latents, words).detach()
    )
    without = guided_images(generator, latents, words, 1, 0, None)
    torch.testing.assert_close(without, generator(latents, none).detach())
    stronger = guided_images(generator, latents, words, 1, 3, layer)
    plain = generator(latents, words).detach()
    assert (stronger - plain).abs().max() > 1e-4
    faint = guided_images(generator, latents, words, 0, 0, None)
    torch.testing.assert_close(faint, generator(torch.zeros(2, 24), none).detach())


def test_errors_are_one_sentence(generator):
    latents, words = torch.randn(2, 24), torch.tensor([0, 1])
    with pytest.raises(LayerNameError, match="no layer 'layer9'"):
        guided_images(generator, latents, words, layer="layer9")
    plain = BigganGenerator([4, 4], latent_dim=4, num_classes=2, class_dim=2).eval()
    with pytest.raises(DirectionError, match="BigganGenerator has no null_class: guidance needs a generator"):
        guided_images(plain, torch.randn(1, 4), torch.tensor([0]))
    plain.null_class = 5
    with pytest.raises(DirectionError, match="there is no class 5; expected 0 to 1"):
        guided_images(plain, torch.randn(1, 4), torch.tensor([0]))
