import pytest
import torch

from gan.r3gan.layers import R3ganError, ResidualBlock

pytest.importorskip("efficientnet_lite_pytorch", reason="requirements-metrics.txt is not installed")

from evaluation.feature_networks import EfficientnetFeatures
from gan.r3gan.projected import EfficientnetMaps, ProjectedR3ganDiscriminator


def critic(**changes):
    torch.manual_seed(0)
    sizes = {"widths": [8, 8, 8, 8], "patch": 2, "class_dim": 4, "group_width": 8, "head_width": 8, "num_classes": 2}
    return ProjectedR3ganDiscriminator(**sizes | changes)


def test_maps_are_those_of_the_trained_network():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1, 3, 64, 64)).float()
    network = EfficientnetFeatures().network
    seen = {}
    for number in (2, 4, 10):
        network._blocks[number].register_forward_hook(lambda *given, n=number: seen.update({n: given[-1]}))
    with torch.no_grad():
        network.extract_features((images - 127) / 128)
        found = EfficientnetMaps()(images / 127.5 - 1)
    assert [tuple(maps.shape[1:]) for maps in found] == [(24, 16, 16), (40, 8, 8), (112, 4, 4)]
    for maps, expected in zip(found, seen.values(), strict=True):
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4)


def test_all_but_the_trained_network_and_the_mixing_learns():
    network = critic().train()
    assert not network.trained.training
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            torch.nn.init.normal_(block.narrow.weight, std=0.1)
    before = [buffer.clone() for buffer in network.trained.buffers()]
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    logits = network(images, torch.tensor([0, 1]))
    assert logits.shape == (2, 4)
    logits[:, 1:].sum().backward()
    assert images.grad.abs().sum() > 0
    trained = {id(value) for value in network.trained.parameters()}
    for head in network.heads:
        assert all(value.grad.abs().sum() > 0 for value in head.parameters())
    assert all(value.grad is None for value in network.parameters() if id(value) in trained)
    assert all(torch.equal(*pair) for pair in zip(before, network.trained.buffers(), strict=True))


def test_images_that_are_too_small():
    with pytest.raises(R3ganError, match="found images of 32 pixels, expected at least 64"):
        critic(patch=1)
