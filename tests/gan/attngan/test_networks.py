"""AttnGAN's generator and discriminators: resolutions, masks, noise, bad sizes. Values are in the parity cases."""

import pytest
import torch

from gan.attngan.attention import WordAttention
from gan.attngan.discriminators import AttnganDiscriminator
from gan.attngan.generator import AttnganError, AttnganGenerator
from losses import LossError, attngan_discriminator, attngan_generator, condition_divergence

SMALL = {"width": 2, "embedding_dim": 6, "condition_dim": 3, "noise_dim": 4, "residuals": 1}


def inputs(lengths=(5, 3)):
    draws = torch.Generator().manual_seed(0)
    batch = len(lengths)
    noise, sentences, words = (torch.randn(batch, *shape, generator=draws) for shape in ((4,), (6,), (6, max(lengths))))
    return noise, sentences, words, torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(
    ("stages", "every_stage", "resolutions"), [(1, True, [64]), (2, True, [64, 128]), (2, False, [128])]
)
def test_resolutions(stages, every_stage, resolutions):
    model = AttnganGenerator(**SMALL, stages=stages, every_stage=every_stage)
    generated = model(*inputs())
    assert model.resolutions == resolutions == [image.shape[-1] for image in generated.images]
    assert [tuple(maps.shape) for maps in generated.attention] == [(2, 5, 64, 64)] * (stages - 1)
    assert all(image.abs().max() <= 1 for image in generated.images)


def test_weights_are_of_own_words_alone():
    noise, sentences, words, padding = inputs()
    model = AttnganGenerator(**SMALL, stages=2).eval()
    variation = torch.zeros(2, 3)
    generated = model(noise, sentences, words, padding, variation)
    assert torch.allclose(generated.attention[0].sum(dim=1), torch.ones(2, 64, 64))
    assert generated.attention[0][1, 3:].max() == 0
    alone = model(noise[1:], sentences[1:], words[1:, :, :3], padding[1:, :3], variation[1:])
    torch.testing.assert_close(generated.images[1][1:], alone.images[1], rtol=1e-4, atol=1e-5)
    model.mixed_masks = True
    attention = model(noise, sentences, words, padding, variation).attention[0]
    assert attention[1, 3:].max() > 0  # every other position of the second caption takes the first one's padding
    assert attention[0, 3:].flatten(1)[:, 1::2].max() == 0


def test_mixed_masks_of_captions_of_one_length_are_right():
    draws = torch.Generator().manual_seed(1)
    maps, words = torch.randn(3, 4, 5, 5, generator=draws), torch.randn(3, 6, 4, generator=draws)
    padding = torch.tensor([[False, False, True, True]]).repeat(3, 1)
    right, mixed = WordAttention(4, 6), WordAttention(4, 6, mixed_masks=True)
    mixed.load_state_dict(right.state_dict())
    for one, other in zip(right(maps, words, padding), mixed(maps, words, padding), strict=True):
        assert torch.equal(one, other)


def test_the_condition_varies_only_by_its_noise():
    model = AttnganGenerator(**SMALL, stages=1).eval()
    given = inputs()
    torch.manual_seed(3)
    generated, other = model(*given).images[0], model(*given).images[0]
    assert not torch.equal(generated, other)
    fixed = [model(*given, torch.zeros(2, 3)).images[0] for _ in range(2)]
    assert torch.equal(*fixed)


def test_inputs_of_other_sizes():
    noise, sentences, words, padding = inputs()
    model = AttnganGenerator(**SMALL)
    with pytest.raises(AttnganError, match=r"words \(2, 6, 4\) with padding \(2, 5\).*expected .*\(2, 6, 5\)"):
        model(noise, sentences, words[:, :, :4], padding)
    with pytest.raises(AttnganError, match=r"found variation \(3,\), expected \(2, 3\)"):
        model(noise, sentences, words, padding, torch.zeros(3))
    for wrong in (padding[0], torch.ones_like(padding)):
        with pytest.raises(AttnganError, match=r"found padding .*, expected \(B, L\) with a word in each caption"):
            model(noise, sentences, words, wrong)


@pytest.mark.parametrize("resolution", [32, 96, 0])
def test_discriminators_of_other_sides(resolution):
    with pytest.raises(AttnganError, match=f"images of {resolution} pixels; expected 64"):
        AttnganDiscriminator(resolution)


def test_a_discriminator_refuses_other_images():
    with pytest.raises(AttnganError, match=r"found images \(1, 3, 64, 64\), expected \(B, 3, 128, 128\)"):
        AttnganDiscriminator(128, width=2)(torch.zeros(1, 3, 64, 64))


def test_each_side_learns_from_its_loss():
    draws = torch.Generator().manual_seed(2)
    real, fake = torch.randn(4, 3, 64, 64, generator=draws), torch.randn(4, 3, 64, 64, generator=draws)
    sentences = torch.randn(4, 6, generator=draws)
    critic = AttnganDiscriminator(64, width=4, embedding_dim=6)

    def loss():
        features = critic(real)
        message, made = critic.logits(features, sentences), critic.logits(critic(fake), sentences)
        wrong = critic.logits(features[:-1], sentences[1:]).fitting
        return attngan_discriminator(message.fitting, made.fitting, wrong, message.alone, made.alone)

    before = loss()
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    for _ in range(12):
        optimizer.zero_grad()
        loss().backward()
        assert all(value.grad is not None and value.grad.any() for value in critic.parameters())
        optimizer.step()
    assert loss() < before / 2
    assert attngan_generator(*critic.logits(critic(real), sentences)) < attngan_generator(
        *critic.logits(critic(fake), sentences)
    )


def test_a_discriminator_needs_two_pairs():
    with pytest.raises(LossError, match="expected at least two pairs"):
        attngan_discriminator(torch.zeros(1), torch.zeros(1), torch.zeros(0))


def test_every_weight_of_the_generator_learns():
    model = AttnganGenerator(**SMALL, stages=2)
    generated = model(*inputs())
    draws = torch.Generator().manual_seed(5)
    loss = sum((image * torch.randn(image.shape, generator=draws)).mean() for image in generated.images)
    (loss + condition_divergence(generated.mean, generated.log_variance)).backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]


def test_the_standard_normal_costs_nothing():
    assert condition_divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
    assert condition_divergence(torch.ones(2, 3), torch.zeros(2, 3)) == pytest.approx(0.5)
