"""LatteGAN's losses by hand, on a discriminator whose logits are sums."""

import pytest
import torch
from torch.nn import functional as F

from gan.lattegan.discriminators import TurnLogits
from gan.lattegan.generator import GeneratedTurn
from gan.lattegan.layers import Instructions
from gan.lattegan.objectives import LatteganHinge, SeenTurns

PIXELS = torch.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)


class Sums:
    """Logits: half the sum of the image, and the sentence; the gradient is 1/2 at each of 48 values."""

    def features(self, images):
        return [images]

    def compare(self, previous, images, instructions, pixels=True):
        (before,), (after,) = previous, images
        fitting = 0.5 * (after - before).sum(dim=(1, 2, 3)) + instructions.sentences[:, 0]
        return TurnLogits(fitting, after.mean(dim=1, keepdim=True) if pixels else None, after[:, :, 0, 0])


network = Sums()


def turns():
    def told(*values):
        return Instructions(torch.tensor(values)[:, None], torch.zeros(2, 1, 1), torch.ones(2, dtype=torch.int64))

    added = torch.tensor([[1.0, 0, 0], [0, 1, 1]])
    return SeenTurns(torch.zeros_like(PIXELS), PIXELS, told(0.5, -2.0), told(-2.0, 0.5), added)


def test_the_discriminators_terms():
    seen, fake = turns(), -PIXELS
    parts = LatteganHinge(wrong_share=0.25, objects=3.0, penalty=2.0).discriminator(network, seen, fake)
    sums = 0.5 * PIXELS.sum(dim=(1, 2, 3))
    own, wrong = torch.tensor([0.5, -2.0]), torch.tensor([-2.0, 0.5])
    hinge = F.relu(1 - sums - own).mean()
    hinge += 0.75 * F.relu(1 - sums + own).mean() + 0.25 * F.relu(1 + sums + wrong).mean()
    assert parts["hinge"].item() == pytest.approx(hinge.item(), rel=1e-5)
    pixels = PIXELS.mean(dim=1)
    assert parts["pixels"].item() == pytest.approx(2 * F.relu(1 - pixels).mean().item(), rel=1e-5)
    objects = F.binary_cross_entropy_with_logits(PIXELS[:, :, 0, 0], seen.added)
    assert parts["objects"].item() == pytest.approx(3 * objects.item(), rel=1e-5)
    assert parts["penalty"].item() == pytest.approx(2 * 48 * 0.25, rel=1e-5)


def test_the_generators_terms():
    seen = turns()
    made = GeneratedTurn(-PIXELS, None, torch.ones(2, 3), torch.zeros(2, 3))
    parts = LatteganHinge(objects=0.0, divergence=4.0).generator(network, seen, made)
    assert parts.keys() == {"hinge", "pixels", "divergence"}
    hinge = (0.5 * PIXELS.sum(dim=(1, 2, 3)) - seen.instructions.sentences[:, 0]).mean()
    assert parts["hinge"].item() == pytest.approx(hinge.item(), rel=1e-5)
    assert parts["pixels"].item() == pytest.approx(PIXELS.mean().item(), abs=1e-6)
    assert parts["divergence"].item() == pytest.approx(2.0)


def test_what_is_weighed_by_zero_is_left_out():
    parts = LatteganHinge(wrong_share=0.0, objects=0.0, penalty=0.0).discriminator(network, turns(), -PIXELS)
    assert parts.keys() == {"hinge", "pixels"}


def test_what_does_not_change_is_kept():
    seen = turns()
    real = seen.previous.clone()
    real[:, :, 0] = 0.5  # the first of four rows changes
    made = GeneratedTurn(torch.full_like(real, 0.25), None, torch.ones(2, 3), torch.zeros(2, 3))
    parts = LatteganHinge(unchanged=4.0).generator(network, seen._replace(real=real), made)
    assert parts["unchanged"].item() == pytest.approx(4 * 0.25 * 3 / 4)
    assert "unchanged" not in LatteganHinge().generator(network, seen, made)
