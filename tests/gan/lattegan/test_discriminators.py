"""LatteGAN's discriminators: comparisons, matches, padding, penalties on their gradients."""

from functools import partial

import pytest
import torch

import losses
from gan.lattegan.discriminators import CoAttention, LatteganDiscriminator, SentenceMatch, UnetDiscriminator, WordMatch
from gan.lattegan.layers import Instructions, LatteganError
from tests.gan.lattegan.small import TEXT, images, instructions, without_gradient

SIZES = {"text_dim": TEXT, "num_objects": 7, "width": 4, "resolution": 64}
MATCHES = {
    "sentence": SentenceMatch,
    "words": partial(WordMatch, width=8, heads=2),
    "gated words": partial(WordMatch, width=8, heads=2, gate=True),
    "both": partial(CoAttention, width=8, heads=2),
    "gated both": partial(CoAttention, width=8, heads=2, gate=True),
}


@pytest.mark.parametrize("name", MATCHES)
@pytest.mark.parametrize("comparison", ["subtract", "concat", "all"])
def test_every_match_learns_whatever_the_comparison(name, comparison):
    torch.manual_seed(0)
    critic = LatteganDiscriminator(match=MATCHES[name], comparison=comparison, **SIZES)
    logits = critic(images(), images(seed=3), instructions())
    assert (logits.fitting.shape, logits.pixels, logits.objects.shape) == ((2,), None, (2, 7))
    assert not without_gradient(critic, (logits.fitting, logits.objects))


@pytest.mark.parametrize("name", MATCHES)
def test_padding_does_not_count(name):
    torch.manual_seed(1)
    critic = LatteganDiscriminator(match=MATCHES[name], **SIZES).eval()
    told = instructions()
    words = told.words.clone()
    words[1, 3:] = 100.0
    one = critic(images(), images(seed=3), told).fitting
    torch.testing.assert_close(critic(images(), images(seed=3), told._replace(words=words)).fitting, one)
    alone = Instructions(told.sentences[1:], told.words[1:, :3], told.lengths[1:])
    torch.testing.assert_close(critic(images()[1:], images(seed=3)[1:], alone).fitting, one[1:], rtol=1e-4, atol=1e-4)


def test_subtraction_sees_only_what_changed():
    torch.manual_seed(2)
    critic = LatteganDiscriminator(**SIZES).eval()
    same, other = (critic(one, one, instructions()).fitting for one in (images(), images(seed=3)))
    torch.testing.assert_close(same, other)


def test_the_unet_scores_each_pixel_of_the_image_alone():
    torch.manual_seed(3)
    critic = UnetDiscriminator(**SIZES)
    logits = critic(images(), images(seed=3), instructions())
    assert logits.pixels.shape == (2, 1, 64, 64)
    assert not without_gradient(critic, (logits.fitting, logits.pixels, logits.objects))
    critic.eval()
    one, other = (critic(previous, images(seed=3), instructions()) for previous in (images(), images(seed=4)))
    torch.testing.assert_close(one.pixels, other.pixels)
    assert not torch.allclose(one.fitting, other.fitting)


@pytest.mark.parametrize("name", [*MATCHES, "unet"])
def test_gradients_can_be_penalised(name):
    torch.manual_seed(4)
    critic = UnetDiscriminator(**SIZES) if name == "unet" else LatteganDiscriminator(match=MATCHES[name], **SIZES)
    losses.r1_penalty(lambda x: critic(images(), x, instructions()).fitting, images(seed=3)).backward()
    assert critic.each[0].conv1.parametrizations.weight.original.grad.any()


def test_inputs_that_do_not_fit():
    critic = UnetDiscriminator(**SIZES)
    with pytest.raises(LatteganError, match=r"found previous images .*2, 3, 64, 64.* and images .*2, 3, 32, 64"):
        critic(images(), images()[:, :, ::2], instructions())
    with pytest.raises(LatteganError, match=r"instructions of .* words, expected 1 to 5"):
        critic(images(), images(), instructions()._replace(lengths=torch.tensor([0, 1])))
    with pytest.raises(LatteganError, match=r"found images \(2, 3, 32, 32\); expected \(2, 3, 64, 64\)"):
        critic.features(images()[:, :, ::2, ::2])


def test_pairs_that_share_an_image_need_not_look_at_it_twice():
    torch.manual_seed(5)
    critic = UnetDiscriminator(**SIZES).eval()
    before, after = critic.features(images()), critic.features(images(seed=3))
    one, alone = critic(images(), images(seed=3), instructions()), critic.compare(before, after, instructions(), False)
    torch.testing.assert_close(one.fitting, alone.fitting)
    torch.testing.assert_close(one.pixels, critic.compare(before, after, instructions()).pixels)
    assert alone.pixels is None
