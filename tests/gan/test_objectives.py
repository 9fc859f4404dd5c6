import math

import pytest
import torch

import losses as adversarial
from gan.objectives import Hinge, ObjectiveError, RelativisticR1R2, WassersteinPenalty

SLOPE = torch.tensor([3.0, -4.0, 0.0]).view(1, 3, 1, 1)  # a linear critic's gradient, of norm 5


def linear(images):
    return (images * SLOPE).sum(dim=(1, 2, 3))


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 3, 1, 1, generator=generator)


def test_wasserstein_by_hand():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, -0.5])
    found = adversarial.wasserstein_discriminator(real, fake, drift=0.1)
    assert found.item() == pytest.approx(0 - 2 + 0.1 * (1 + 9) / 2)
    assert adversarial.wasserstein_generator(real).item() == -2


def test_relativistic_pairs_by_hand():
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 5.0])
    found = adversarial.relativistic_discriminator(real, fake)
    assert found.item() == pytest.approx((math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2)
    assert adversarial.relativistic_generator(real, fake).item() == pytest.approx(
        (math.log(1 + math.exp(1)) + math.log(1 + math.exp(-3))) / 2
    )
    torch.testing.assert_close(adversarial.relativistic_discriminator(real + 7, fake + 7), found)


def test_penalties_of_a_linear_critic(samples):
    """Its gradient is the same everywhere: (5 - 1)^2 and 5^2."""
    real, fake = samples
    mix = torch.rand(4, generator=torch.Generator().manual_seed(1))
    assert adversarial.gradient_penalty(linear, real, fake, mix).item() == pytest.approx(16, rel=1e-5)
    assert adversarial.r1_penalty(linear, real).item() == pytest.approx(25, rel=1e-5)


def test_the_gradient_penalty_is_taken_at_the_mixed_points(samples):
    """For D(x) = |x|^2 / 2 the gradient is the point itself."""
    real, fake = samples
    mix = torch.tensor([0.0, 0.25, 0.5, 1.0])
    points = real + mix.view(-1, 1, 1, 1) * (fake - real)
    expected = (points.flatten(1).norm(dim=1) - 1).square().mean()

    def critic(images):
        return images.square().flatten(1).sum(dim=1) / 2

    torch.testing.assert_close(adversarial.gradient_penalty(critic, real, fake, mix), expected)
    torch.testing.assert_close(adversarial.r1_penalty(critic, real), real.square().flatten(1).sum(dim=1).mean())


def test_penalties_reach_the_critics_weights(samples):
    real, fake = samples
    weight = torch.ones(3, requires_grad=True)

    def critic(images):
        return (images * weight.view(1, 3, 1, 1)).sum(dim=(1, 2, 3))

    adversarial.r1_penalty(critic, real).backward()
    torch.testing.assert_close(weight.grad, 2 * torch.ones(3))  # of |w|^2
    weight.grad = None
    adversarial.gradient_penalty(critic, real, fake, torch.rand(4)).backward()
    norm = math.sqrt(3)
    torch.testing.assert_close(weight.grad, torch.full((3,), 2 * (norm - 1) / norm))  # of (|w| - 1)^2


def test_objectives_weigh_their_terms(samples):
    real, fake = samples
    mix = torch.full((4,), 0.5)
    terms = WassersteinPenalty(penalty=10, drift=0).discriminator(linear, real, fake, 0, mix)
    assert terms["gradient_penalty"].item() == pytest.approx(160, rel=1e-5)
    torch.testing.assert_close(terms["wasserstein"], linear(fake).mean() - linear(real).mean())
    torch.testing.assert_close(WassersteinPenalty().generator(linear, real, fake), -linear(fake).mean())


def test_the_relativistic_objective(samples):
    real, fake = samples
    objective = RelativisticR1R2(gamma_per_pixel=0.1, every=2)
    terms = objective.discriminator(linear, real, fake, 0, torch.rand(4))
    assert terms["r1"].item() == pytest.approx(0.5 * 0.1 * 2 * 25, rel=1e-5)
    assert terms["r2"].item() == pytest.approx(0.5 * 0.1 * 2 * 25, rel=1e-5)
    assert set(objective.discriminator(linear, real, fake, 1, torch.rand(4))) == {"pairs"}
    large = real.expand(4, 3, 2, 2)  # twice the side: gamma is four times as large
    found = objective.discriminator(linear, large, large, 0, torch.rand(4))
    assert found["r1"].item() == pytest.approx(0.5 * 0.4 * 2 * 100, rel=1e-5)
    drawn = fake.clone().requires_grad_()
    objective.generator(linear, real, drawn).backward()
    assert (drawn.grad * SLOPE).sum() < 0  # the generator raises its own logits


def test_the_relativistic_penalty_falls_geometrically(samples):
    objective = RelativisticR1R2(gamma_per_pixel=0.1, every=1, final_gamma_per_pixel=0.001, fall=(10, 20))
    found = [objective.gamma(step) for step in (0, 10, 15, 20, 99)]
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])
    real, fake = samples
    terms = objective.discriminator(linear, real, fake, 15, torch.rand(4))
    assert terms["r2"].item() == pytest.approx(0.5 * 0.01 * 25, rel=1e-5)
    with pytest.raises(ObjectiveError, match=r"fall: found \[5, 5\]"):
        RelativisticR1R2(0.1, fall=(5, 5))


def test_hinge():
    """Scores 0.5 and 3 of real images, -2 and 0.5 of generated ones: (0.5 + 0) / 2 + (0 + 1.5) / 2, and -(-1.5) / 2."""
    scores = {"real": torch.tensor([0.5, 3.0]), "fake": torch.tensor([-2.0, 0.5])}
    parts = Hinge().discriminator(scores.get, "real", "fake", 0, torch.zeros(2))
    assert float(parts["hinge"]) == pytest.approx(1.0)
    assert float(Hinge().generator(scores.get, "real", "fake")) == pytest.approx(0.75)
