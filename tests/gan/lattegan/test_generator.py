"""LatteGAN's generators: sizes, masks, gates, every weight learns. Values are in the parity cases."""

import pytest
import torch
from torch import nn

from gan.lattegan.attention import MultiHeadAttention, Relations
from gan.lattegan.fusion import Concat, Tirg, TirgSpade
from gan.lattegan.generator import ImageEncoder, LatteganGenerator, MultiScaleGenerator, MultiScaleImageEncoder
from gan.lattegan.layers import Instructions, LatteganError
from tests.gan.lattegan.small import FUSIONS, IMAGE, SMALL, TEXT, images, instructions, without_gradient


def made(fusion, norm="instance", **options):
    torch.manual_seed(0)
    encoder = ImageEncoder(IMAGE, 4, norm)
    generator = LatteganGenerator(fusion=fusion, norm=norm, **SMALL, **options)
    for name, value in generator.named_parameters():
        if name.endswith("residual_weight"):
            nn.init.constant_(value, 0.5)  # it starts at 0, which stops the gradients behind it
    return encoder, generator


def generate(encoder, generator, told=None, variation=None):
    told = told or instructions()
    count = len(told.lengths)
    noise = torch.randn(count, 5, generator=torch.Generator().manual_seed(2))
    return generator(noise, told, encoder(images(count)), variation)


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_generates_and_every_weight_learns(name):
    encoder, generator = made(FUSIONS[name])
    generated = generate(encoder, generator)
    assert generated.images.shape == (2, 3, 64, 64)
    assert generated.images.abs().max() <= 1
    assert generated.gate.shape == (2, 1 if "none" in name else IMAGE, 8, 8)
    assert 0 < generated.gate.min() < generated.gate.max() < 1
    assert generated.mean.shape == generated.log_variance.shape == (2, 6)
    both = nn.ModuleList((encoder, generator))
    assert not without_gradient(both, (generated.images, generated.log_variance))


@pytest.mark.parametrize("spectral", [True, False])
def test_concat_with_batch_norm(spectral):
    encoder, generator = made(Concat, "batch", spectral=spectral)
    generated = generate(encoder, generator)
    assert generated.gate is None
    assert not without_gradient(nn.ModuleList((encoder, generator)), (generated.images,))
    assert any(name.endswith(".original") for name, _ in generator.named_parameters()) == spectral


def test_words_are_masked_by_their_own_lengths():
    encoder, generator = made(FUSIONS["TirgSpade concat relations"])
    encoder.eval()
    generator.eval()
    told, zeros = instructions((5, 3, 2)), torch.zeros(3, 6)
    noise, maps = torch.randn(3, 5, generator=torch.Generator().manual_seed(2)), encoder(images(3))

    def drawn(rows=slice(None)):
        sentences, words, lengths = told
        one = Instructions(sentences[rows], words[rows], lengths[rows])
        return generator(noise[rows], one, maps[rows], zeros[rows]).images

    together = drawn()
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], drawn(slice(row, row + 1)), rtol=1e-3, atol=1e-4)
    assert not generator.mixed_masks
    generator.mixed_masks = True
    assert (drawn() - together).abs().max() > 1e-4
    torch.testing.assert_close(drawn(slice(1)), together[:1], rtol=1e-3, atol=1e-4)  # of one there is nothing to mix up


def test_attention_by_loops():
    torch.manual_seed(3)
    attention = MultiHeadAttention(4, 6, 8, 2, spectral=False)
    queries, memory = torch.randn(2, 3, 4), torch.randn(2, 5, 6)
    padding = torch.tensor([[False] * 5, [False, False, True, True, True]])
    found = attention(queries, memory, padding)
    for row, count in enumerate((5, 2)):
        query, key, value = (
            layer(x[row])
            for layer, x in zip(
                (attention.query, attention.key, attention.value),
                (queries, memory[:, :count], memory[:, :count]),
                strict=True,
            )
        )
        for head in (slice(0, 4), slice(4, 8)):
            weights = (query[:, head] @ key[:, head].T / 2).softmax(dim=1)
            torch.testing.assert_close(found[row, :, head], weights @ value[:, head])


def test_relations_by_loops():
    """The sum over all pairs of what two 1 x 1 convolutions make of both positions and the text at the first."""
    torch.manual_seed(4)
    relations = Relations(3, 2, 5, 4, "instance", spectral=False).eval()
    image, text = torch.randn(2, 3, 4), torch.randn(2, 2, 4)
    x = relations.image((image + relations.position.weight.T)[:, :, None])[:, :, 0]
    y = relations.text(text[:, :, None])[:, :, 0]
    pairs = torch.stack(
        [
            torch.stack([torch.cat((x[:, :, q], x[:, :, p], y[:, :, p]), dim=1) for q in range(4)], dim=2)
            for p in range(4)
        ],
        dim=2,
    )
    torch.testing.assert_close(relations(image, text), relations.pairs(pairs).sum(dim=3))


def test_an_open_gate_keeps_the_image():
    torch.manual_seed(5)
    for kind in (Tirg, TirgSpade):
        fusion = kind(IMAGE, 8, TEXT, 8, "instance", True, hidden=8, heads=2, relations=False)
        image, text = torch.randn(2, IMAGE, 8, 8), torch.randn(2, 8, 8, 8)
        fusion.gate_weight.data.fill_(1.0)
        fused, gate = fusion(image, text, instructions())
        torch.testing.assert_close(fused, gate * image)  # the residual weighs 0 at the start
        torch.testing.assert_close(fusion.weighed(image, 2 * image, torch.ones_like(image)), image)


@pytest.mark.parametrize(("fusion", "pixels"), [(Concat, 4), (FUSIONS["Tirg concat"], 4), (FUSIONS["Tirg concat"], 8)])
def test_gates_at_every_resolution(fusion, pixels):
    torch.manual_seed(0)
    depth = {4: 4, 8: 3}[pixels]
    image_dim = {4: 32, 8: 16}[pixels]
    encoder = MultiScaleImageEncoder(image_dim, 4, depth)
    generator = MultiScaleGenerator(fusion=fusion, fusion_resolution=pixels, **SMALL | {"image_dim": image_dim})
    for name, value in generator.named_parameters():
        if name.endswith("residual_weight"):
            nn.init.constant_(value, 0.5)
    generated = generate(encoder, generator)
    assert generated.images.shape == (2, 3, 64, 64)
    assert not without_gradient(nn.ModuleList((encoder, generator)), (generated.images, generated.log_variance))
    with pytest.raises(LatteganError, match=f"found 1 maps of an image, expected {depth}"):
        generator(torch.randn(2, 5), instructions(), encoder(images())[:1])


def test_the_condition_varies_only_by_its_noise():
    encoder, generator = made(FUSIONS["Tirg concat"])
    encoder.eval()
    generator.eval()
    first, second = (generate(encoder, generator).images for _ in range(2))
    assert not torch.equal(first, second)
    fixed = [generate(encoder, generator, variation=torch.zeros(2, 6)).images for _ in range(2)]
    assert torch.equal(*fixed)


def test_inputs_that_do_not_fit():
    encoder, generator = made(FUSIONS["Tirg concat"])
    noise, maps, told = torch.zeros(2, 5), encoder(images()), instructions()
    with pytest.raises(LatteganError, match=r"found noise \(2, 4\), expected \(B, 5\)"):
        generator(noise[:, :4], told, maps)
    with pytest.raises(LatteganError, match=r"found maps of images \(2, 16, 8, 4\), expected \(2, 16, 8, 8\)"):
        generator(noise, told, maps[..., :4])
    with pytest.raises(LatteganError, match=r"found sentences \(2, 11\).*expected \(2, 12\), .*of another encoder"):
        generator(noise, told._replace(sentences=told.sentences[:, :11]), maps)
    for lengths in ([5, 0], [6, 1]):
        with pytest.raises(
            LatteganError, match=rf"instructions of \[{lengths[0]}, {lengths[1]}\] words, expected 1 to 5"
        ):
            generator(noise, told._replace(lengths=torch.tensor(lengths)), maps)
    with pytest.raises(LatteganError, match=r"found variation \(2, 5\), expected \(2, 6\)"):
        generator(noise, told, maps, noise)


def test_networks_that_cannot_be():
    with pytest.raises(LatteganError, match="expected words concat or replace"):
        LatteganGenerator(fusion=lambda **sizes: TirgSpade(words="none", **sizes), **SMALL)
    with pytest.raises(LatteganError, match="8 numbers in 3 heads"):
        MultiHeadAttention(4, 4, 8, 3, spectral=False)
    with pytest.raises(LatteganError, match=r"3 maps have \[4, 8, 16\] channels; expected 64 in the last"):
        MultiScaleImageEncoder(64, 4, 3)
    with pytest.raises(LatteganError, match="fusion_resolution is 64, expected 4 to 32"):
        MultiScaleGenerator(fusion=Concat, fusion_resolution=64, **SMALL)
