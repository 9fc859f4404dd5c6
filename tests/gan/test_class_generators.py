import pytest
import torch
from torch import nn

from gan.biggan.layers import SpectralLinear
from gan.class_generators import ClassGeneratorError, ClassInLatent, OfClass, largest_singular_values
from gan.latents import latents
from gan.r3gan.generator import R3ganGenerator


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return R3ganGenerator([8, 8], latent_dim=5, num_classes=4, class_dim=3, group_width=8).eval()


@torch.no_grad()
def test_the_class_is_the_largest_of_the_further_numbers_whatever_the_batch(generator):
    whole = ClassInLatent(generator)
    table = latents(400, whole.latent_dim)
    own, classes = whole.split(table)
    assert torch.equal(own, table[:, :5])
    assert torch.equal(classes, table[:, 5:].argmax(dim=1))
    assert torch.bincount(classes).min() > 70  # all alike, 100 each
    torch.testing.assert_close(whole(table[7:9]), generator(own, classes)[7:9])
    with pytest.raises(ClassGeneratorError, match=r"found latents \(2, 5\), expected \(B, 9\)"):
        whole(torch.zeros(2, 5))
    with pytest.raises(ClassGeneratorError, match="found class 4, expected 0 to 3"):
        OfClass(generator, 4)


def test_largest_singular_values():
    network = nn.Sequential(
        nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Conv2d(1, 2, 1, bias=False), SpectralLinear(2, 2)
    )
    network[0].weight.data = torch.tensor([[3.0, 0.0], [0.0, -4.0]])
    network[2].weight.data = torch.tensor([3.0, 4.0]).view(2, 1, 1, 1)
    network[3].sigma.fill_(7.0)
    network.add_module("frozen", nn.Linear(1, 1).requires_grad_(False))
    assert largest_singular_values(network) == pytest.approx({"0": 4.0, "2": 5.0, "3": 7.0})
