"""TIRG with its options: every weight learns, masks, bad sizes. Values are in the parity case ``tirg_text``."""

import pytest
import torch

from models.object_localizer import ObjectLocalizer, PointsTrunk, SmallTrunk
from models.tirg import FrozenResnet18, LocalizerTrunk, Tirg, TirgError, TirgSpade

IMAGE, TEXT, HIDDEN = 6, 8, 10
OPTIONS = {
    "published": {},
    "plain": {"attention": False, "channel_gate": False},
    "one gate": {"channel_gate": False, "mask_features": True, "mask_residual": False},
    "self-attention": {"self_attention": "both", "last": True},
    "of the gate": {"self_attention": "gate", "positions": False},
    "of the fused": {"self_attention": "fused"},
}


def inputs():
    draws = torch.Generator().manual_seed(0)
    image, sentences, memory = (
        torch.randn(shape, generator=draws) for shape in ((2, IMAGE, 4, 4), (2, TEXT), (2, 5, TEXT))
    )
    return image, sentences, memory, torch.tensor([[False] * 5, [False, False, True, True, True]])


def trained(network):
    torch.nn.init.constant_(network.residual_weight, 0.5)  # it starts at 0, which stops the gradients behind it
    composed = network(*inputs())
    draws = torch.Generator().manual_seed(1)
    sum((value * torch.randn(value.shape, generator=draws)).sum() for value in composed).backward()
    return composed, [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_weight_learns(name):
    torch.manual_seed(2)
    network = Tirg(IMAGE, TEXT, 7, HIDDEN, **OPTIONS[name])
    composed, lost = trained(network)
    assert composed.maps.shape == (2, IMAGE, 4, 4)
    assert composed.gate.shape == (2, IMAGE if network.channel_gate else 1, 4, 4)
    assert composed.objects.shape == (2, 7)
    assert lost == (["attention.position.weight"] if name == "of the gate" else [])


@pytest.mark.parametrize("attention", [True, False])
def test_with_spade(attention):
    torch.manual_seed(3)
    composed, lost = trained(TirgSpade(IMAGE, TEXT, 7, HIDDEN, attention=attention))
    assert composed.maps.shape == (2, IMAGE, 4, 4)
    assert not lost


def test_what_is_ignored_does_not_count():
    torch.manual_seed(4)
    network = Tirg(IMAGE, TEXT, 7, HIDDEN).eval()
    network.residual_weight.data.fill_(1.0)
    image, sentences, memory, ignored = inputs()
    changed = memory.clone()
    changed[1, 2:] = 100
    one, other = (network(image, sentences, states, ignored).maps for states in (memory, changed))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(
        network(image[1:], sentences[1:], memory[1:, :2], ignored[1:, :2]).maps, one[1:], rtol=1e-4, atol=1e-5
    )


def test_networks_and_inputs_that_do_not_fit():
    with pytest.raises(TirgError, match="mask_features needs one gate for all channels"):
        Tirg(IMAGE, TEXT, 7, mask_features=True)
    network = Tirg(IMAGE, TEXT, 7, HIDDEN)
    image, sentences, memory, ignored = inputs()
    with pytest.raises(TirgError, match=r"found maps \(2, 5, 4, 4\) and sentences \(2, 8\); expected \(B, 6, H, W\)"):
        network(image[:, :5], sentences, memory, ignored)
    with pytest.raises(TirgError, match="found maps of 17 x 16, expected 256 positions at most"):
        network(torch.zeros(2, IMAGE, 17, 16), sentences, memory, ignored)


@pytest.mark.parametrize(("depth", "channels", "size"), [(3, 128, 8), (4, 256, 4), (5, 512, 2)])
def test_the_trunk_stays_as_it_is(depth, channels, size):
    trunk = FrozenResnet18(depth, pretrained=None).train()
    assert trunk.channels == channels
    before = trunk.trunk[1].running_mean.clone()
    maps = trunk(torch.rand(1, 3, 64, 64))
    assert maps.shape == (1, channels, size, size)
    assert not maps.requires_grad
    assert torch.equal(trunk.trunk[1].running_mean, before)


def test_the_maps_of_a_localiser_stay_as_they_are():
    torch.manual_seed(5)
    localizer = ObjectLocalizer(3, 2, PointsTrunk(32, 4, 6), hidden=[8, 8])
    trunk = LocalizerTrunk(localizer).train()
    images = torch.rand(2, 3, 32, 32)
    maps = trunk(2 * images - 1)
    assert maps.shape == (2, trunk.channels, 4, 4)
    assert not [name for name, value in trunk.named_parameters() if value.requires_grad]
    torch.testing.assert_close(maps.amax(dim=(2, 3)), localizer.trunk(images)[0])
    with pytest.raises(TirgError, match="has a SmallTrunk, expected one with a PointsTrunk"):
        LocalizerTrunk(ObjectLocalizer(3, 2, SmallTrunk(32, 4, 6)))
