"""Losses of LatteGAN's two players (arXiv:2112.13985, smatsumori/LatteGAN ``src/modules/propv1/model_scain.py``).

Shape letters: B turns, R height and width of the images, K classes of objects.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

import losses
from config.limits import Chance, Weight
from gan.lattegan.discriminators import LatteganDiscriminator, UnetDiscriminator
from gan.lattegan.generator import GeneratedTurn
from gan.lattegan.layers import Instructions

Discriminator = LatteganDiscriminator | UnetDiscriminator


class SeenTurns(NamedTuple):
    """Turns that a discriminator compares."""

    previous: Tensor  # (B, 3, R, R) in [-1, 1]
    real: Tensor  # (B, 3, R, R), the true next images
    instructions: Instructions
    wrong: Instructions  # of other turns: row i stands beside images i that are not its own
    added: Tensor  # (B, K) 0 and 1, the objects that the turn adds


@dataclass(frozen=True)
class LatteganHinge:
    """Hinge losses with wrong pairs, the turn's added objects, and a penalty on the gradient at real images.

    The discriminator learns added objects from real images, the generator from its own. Pixel logits, where there are
    some, have hinge losses without wrong pairs.

    Attributes:
        wrong_share: share of wrong pairs in the term of what is not right, the rest is generated
            (``wrong_fake_ratio``).
        objects: weight of the cross-entropy of added objects (``aux_reg``).
        penalty: weight of E[|grad D(x)|^2] at real images (``gp_reg``).
        divergence: weight of the Kullback-Leibler divergence of the conditions (``cond_kl_reg``).
    """

    wrong_share: Chance = 0.5
    objects: Weight = 10.0
    penalty: Weight = 10.0
    divergence: Weight = 1.0

    def discriminator(self, network: Discriminator, turns: SeenTurns, fake: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's terms by name; ``fake`` (B, 3, R, R) has no graph."""
        real = turns.real.detach().requires_grad_(self.penalty > 0)
        right = network(turns.previous, real, turns.instructions)
        made = network(turns.previous, fake, turns.instructions)
        wrong = network(turns.previous, turns.real, turns.wrong) if self.wrong_share else None
        parts = {
            "hinge": losses.hinge_discriminator(
                right.fitting, made.fitting, None if wrong is None else wrong.fitting, self.wrong_share
            )
        }
        if right.pixels is not None:
            parts["pixels"] = losses.hinge_discriminator(right.pixels.flatten(), made.pixels.flatten())
        if self.objects:
            parts["objects"] = self.objects * F.binary_cross_entropy_with_logits(right.objects, turns.added)
        if self.penalty:
            parts["penalty"] = self.penalty * losses.squared_gradients(right.fitting, real).mean()
        return parts

    def generator(self, network: Discriminator, turns: SeenTurns, made: GeneratedTurn) -> dict[str, Tensor]:
        """Return the generator's terms by name."""
        seen = network(turns.previous, made.images, turns.instructions)
        parts = {"hinge": losses.hinge_generator(seen.fitting)}
        if seen.pixels is not None:
            parts["pixels"] = losses.hinge_generator(seen.pixels.flatten())
        if self.objects:
            parts["objects"] = self.objects * F.binary_cross_entropy_with_logits(seen.objects, turns.added)
        if self.divergence:
            parts["divergence"] = self.divergence * losses.condition_divergence(made.mean, made.log_variance)
        return parts
