import pytest
import torch
import torch.nn.functional as F

from gan.progan.generator import ProganError, ProganGenerator, ScaledConv, pixel_norm, sizes, upsampled_kernel
from gan.progan.growing import (
    GrowingGenerator,
    ProganDiscriminator,
    blend,
    minibatch_std,
)

WIDTHS = [8, 6, 4]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_layers_and_sizes():
    model = ProganGenerator(5, WIDTHS)
    assert list(dict(model.named_children())) == ["layer1", "layer2", "layer3", "layer4", "layer5", "layer6", "output"]
    assert model.resolution == 16
    assert sizes(model) == {
        "layer1": (8, 4), "layer2": (8, 4), "layer3": (6, 8), "layer4": (6, 8), "layer5": (4, 16), "layer6": (4, 16)
    }  # fmt: skip
    shapes = {}
    for name in model.layer_names:
        model.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: out.shape}))
    image = model(torch.randn(3, 5))
    assert image.shape == (3, 3, 16, 16)
    assert {name: (shape[1], shape[2]) for name, shape in shapes.items()} == sizes(model)


def test_every_parameter_gets_a_gradient():
    model = ProganGenerator(5, WIDTHS)
    model(torch.randn(2, 5)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_latents_of_one_place_are_the_same_as_flat_ones():
    model = ProganGenerator(5, WIDTHS)
    latents = torch.randn(2, 5)
    assert torch.equal(model(latents), model(latents[:, :, None, None]))


def test_the_output_can_be_bounded():
    plain, bounded = ProganGenerator(5, WIDTHS), ProganGenerator(5, WIDTHS, tanh=True)
    bounded.load_state_dict(plain.state_dict())
    latents = torch.randn(20, 5)
    assert plain(latents).abs().max() > 1
    assert torch.equal(bounded(latents), plain(latents).clamp(-1, 1))


def test_wrong_latents_and_widths():
    model = ProganGenerator(5, WIDTHS)
    with pytest.raises(ProganError, match=r"found latents \(2, 6\), expected \(B, 5\)"):
        model(torch.randn(2, 6))
    with pytest.raises(ProganError, match="widths"):
        ProganGenerator(5, [])
    with pytest.raises(ProganError, match="widths"):
        ProganDiscriminator([4, 0])


def test_pixel_norm_gives_unit_mean_square():
    maps = pixel_norm(3 * torch.randn(2, 7, 4, 4))
    torch.testing.assert_close(maps.square().mean(dim=1), torch.ones(2, 4, 4))


def test_doubling_in_the_convolution_is_doubling_before_it():
    conv = ScaledConv(3, 5, 3, resample="upsample")
    maps = torch.randn(2, 3, 6, 6)
    slow = F.conv2d(F.interpolate(maps, scale_factor=2), conv.weight * conv.scale, conv.bias, padding=1)
    torch.testing.assert_close(conv(maps), slow, rtol=1e-4, atol=1e-5)


def test_halving_in_the_convolution_is_halving_after_it():
    conv = ScaledConv(3, 5, 3, resample="downsample")
    maps = torch.randn(2, 3, 6, 6)
    slow = F.avg_pool2d(F.conv2d(maps, conv.weight * conv.scale, conv.bias, padding=1), 2)
    torch.testing.assert_close(conv(maps), slow, rtol=1e-4, atol=1e-5)
    assert upsampled_kernel(torch.ones(1, 1, 3, 3))[0, 0, 1, 1] == 4


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_was_grown_is_exported_in_the_published_form(level):
    model = GrowingGenerator(5, WIDTHS)
    latents = torch.randn(2, 5)
    plain = model.export(level)
    assert plain.resolution == 4 * 2**level
    assert torch.equal(plain(latents), model(latents, level))
    model.reach(level, 1.0)
    assert torch.equal(plain(latents), model.generate(latents))
    with torch.no_grad():
        next(plain.parameters()).zero_()
    assert not torch.equal(plain(latents), model(latents, level))  # the weights are copies


def test_fading_goes_from_the_upsampled_lower_stage_to_the_stage_alone():
    model = GrowingGenerator(5, WIDTHS)
    latents = torch.randn(2, 5)
    coarse, fine = F.interpolate(model(latents, 1), scale_factor=2), model(latents, 2)
    torch.testing.assert_close(model(latents, 2, alpha=0.0), coarse)
    torch.testing.assert_close(model(latents, 2, alpha=0.25), 0.75 * coarse + 0.25 * fine)
    torch.testing.assert_close(blend(model(latents, 1), fine, 1.0), fine)


@pytest.mark.parametrize("convolutions", [1, 2])
def test_the_discriminator_fades_from_the_lower_level(convolutions):
    model = ProganDiscriminator(WIDTHS, group=2, convolutions=convolutions)
    images = torch.randn(4, 3, 16, 16)
    below = model(F.avg_pool2d(images, 2), 1)
    torch.testing.assert_close(model(images, 2, alpha=0.0), below, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(images, 2, alpha=1.0), below)
    model(images, 2, alpha=0.5).sum().backward()
    unused = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert unused == {"inputs.0.weight", "inputs.0.bias"}


def test_the_discriminator_names_the_size_it_expects():
    model = ProganDiscriminator(WIDTHS)
    with pytest.raises(ProganError, match=r"expected \(B, 3, 8, 8\) at stage 1"):
        model(torch.randn(2, 3, 16, 16), 1)


def test_spread_is_the_mean_deviation_within_each_group():
    maps = torch.randn(6, 2, 3, 3)
    found = minibatch_std(maps, 3)
    for first in (0, 3):
        group = maps[first : first + 3]
        expected = (group.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[first : first + 3, 2], expected.expand(3, 3, 3))
    assert torch.equal(found[:, :2], maps)
    whole = minibatch_std(maps, 4)[:, 2]  # four do not divide six
    assert torch.equal(whole, whole[0, 0, 0].expand(6, 3, 3))
