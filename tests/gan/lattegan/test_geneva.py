"""GeNeVA-GAN: its options, its state from turn to turn, and by hand what its parts do."""

import pytest
import torch
from torch import nn

from gan.lattegan.geneva import (
    GenevaDialogue,
    GenevaDiscriminator,
    GenevaGenerator,
    GenevaImageEncoder,
    GenevaSelfAttention,
    GenevaSentenceEncoder,
)
from gan.lattegan.layers import LatteganError
from tests.gan.lattegan.small import images, without_gradient

STATE, WIDTH, IMAGE = 10, 4, 32
GENERATOR = {
    "state_dim": STATE,
    "image_dim": IMAGE,
    "width": WIDTH,
    "condition_dim": 6,
    "noise_dim": 5,
    "resolution": 64,
}


@pytest.mark.parametrize("fusion", ["concat", "gate", "none"])
@pytest.mark.parametrize(
    "options", [{}, {"augmentation": False, "activation": "selu"}, {"attention": True, "spectral": True}]
)
def test_generators(fusion, options):
    torch.manual_seed(0)
    encoder = GenevaImageEncoder(IMAGE, WIDTH)
    generator = GenevaGenerator(fusion=fusion, **GENERATOR, **options)
    for name, value in generator.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(value)
    generated = generator(torch.randn(2, 5), torch.randn(2, STATE), encoder(images()))
    assert generated.images.shape == (2, 3, 64, 64)
    assert (generated.gate is not None) == (fusion == "gate")
    lost = without_gradient(generator, (generated.images, generated.mean, generated.log_variance))
    assert not [name for name in lost if not name.endswith(".key.bias")]  # softmax over the keys' side ignores one bias


@pytest.mark.parametrize("comparison", ["subtract", "concat", "none"])
@pytest.mark.parametrize("conditioning", ["projection", "concat"])
@pytest.mark.parametrize("spectral", [True, False])
def test_discriminators(comparison, conditioning, spectral):
    torch.manual_seed(1)
    critic = GenevaDiscriminator(
        STATE, 7, WIDTH, 64, comparison, conditioning, condition_channels=8, spectral=spectral, activation="relu"
    )
    states = torch.randn(2, STATE)
    logits = critic(images(), images(seed=3), states)
    assert (logits.fitting.shape, logits.pixels, logits.objects.shape) == ((2,), None, (2, 7))
    assert not without_gradient(critic, (logits.fitting, logits.objects))
    critic.eval()
    fitting = [critic(previous, images(seed=3), states).fitting for previous in (images(), images(seed=4))]
    assert torch.equal(*fitting) == (comparison == "none")


@pytest.mark.parametrize("blocks", ["conv", "residual"])
def test_image_encoders_end_with_a_norm(blocks):
    torch.manual_seed(2)
    maps = GenevaImageEncoder(IMAGE, WIDTH, blocks)(images(4))
    assert maps.shape == (4, IMAGE, 8, 8)
    assert maps.mean(dim=(0, 2, 3)).abs().max() < 1e-5


def test_attention_by_hand():
    torch.manual_seed(3)
    attention = GenevaSelfAttention(8).eval()
    attention.gamma.data.fill_(0.5)
    maps = torch.randn(1, 8, 2, 3)
    keys, queries, values = (layer(maps)[0].flatten(1) for layer in (attention.key, attention.query, attention.value))
    expected = maps[0].flatten(1).clone()
    for place in range(6):
        weights = (keys.T @ queries[:, place]).softmax(dim=0)
        expected[:, place] += 0.5 * values @ weights
    torch.testing.assert_close(attention(maps)[0].flatten(1), expected)


def test_a_dialogue_keeps_its_state():
    torch.manual_seed(4)
    dialogue = GenevaDialogue(6, STATE, 8).eval()
    sentences = torch.randn(2, 2, 6)
    state = dialogue.start(2, torch.device("cpu"))
    assert not state.any()
    first, state = dialogue(sentences[0], state)
    second, _ = dialogue(sentences[1], state)
    fresh, _ = dialogue(sentences[1], dialogue.start(2, torch.device("cpu")))
    assert first.shape == (2, STATE)
    assert not torch.allclose(second, fresh)


def test_sentences_do_not_depend_on_padding():
    torch.manual_seed(5)
    encoder = GenevaSentenceEncoder(3, 8)
    words = torch.randn(2, 4, 3)
    found = encoder(words, torch.tensor([4, 2]))
    torch.testing.assert_close(found[1:], encoder(words[1:, :2], torch.tensor([2])))
    assert torch.equal(encoder(words[:, :1], torch.tensor([1, 1])), encoder(words[:, :1], torch.tensor([0, 1])))


def test_networks_and_inputs_that_do_not_fit():
    with pytest.raises(LatteganError, match=r"image_dim is 16, expected 32 \(8 times the width\)"):
        GenevaGenerator(fusion="gate", **GENERATOR | {"image_dim": 16})
    with pytest.raises(LatteganError, match="text_dim is 7, expected an even number"):
        GenevaSentenceEncoder(3, 7)
    with pytest.raises(LatteganError, match="attention was asked of 4 channels"):
        GenevaSelfAttention(4)
    generator = GenevaGenerator(**GENERATOR)
    with pytest.raises(LatteganError, match=r"states \(2, 9\).* expected \(2, 5\), \(2, 10\)"):
        generator(torch.zeros(2, 5), torch.zeros(2, 9), torch.zeros(2, IMAGE, 8, 8))
    critic = GenevaDiscriminator(STATE, 7, WIDTH, 64)
    with pytest.raises(LatteganError, match=r"found previous images \(2, 3, 64, 64\), images \(1, 3, 64, 64\)"):
        critic(images(), images(1), torch.zeros(2, STATE))
