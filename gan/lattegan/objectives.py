"""Losses of the two players of LatteGAN and of GeNeVA-GAN.

LatteGAN's are those of arXiv:2112.13985 (smatsumori/LatteGAN ``src/modules/propv1/model_scain.py``), GeNeVA-GAN's of
arXiv:1811.09845 (Maluuba/GeNeVA ``geneva/models/recurrent_gan.py``).

Shape letters: B turns, R height and width of the images, K classes of objects, Q size of a dialogue's state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import losses
from config.limits import Chance, Weight
from gan.lattegan.discriminators import LatteganDiscriminator, UnetDiscriminator
from gan.lattegan.generator import GeneratedTurn
from gan.lattegan.geneva import GenevaDiscriminator
from gan.lattegan.layers import Instructions

STILL = 1 / 16  # of two images in [-1, 1]: where no channel differs by more, nothing changes (noise differs by 1/64)
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
        unchanged: weight of the mean absolute difference between generated and previous images where the true image
            does not change; 0 as published. A training of few images learns from it to keep what is there.
    """

    wrong_share: Chance = 0.5
    objects: Weight = 10.0
    penalty: Weight = 10.0
    divergence: Weight = 1.0
    unchanged: Weight = 0.0

    def discriminator(self, network: Discriminator, turns: SeenTurns, fake: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's terms by name; ``fake`` (B, 3, R, R) has no graph."""
        real = turns.real.detach().requires_grad_(self.penalty > 0)
        seen = network.features(real)
        before, after = _halves(network.features(torch.cat((turns.previous, fake))))
        right = network.compare(before, seen, turns.instructions)
        made = network.compare(before, after, turns.instructions)
        wrong = network.compare(before, seen, turns.wrong, pixels=False) if self.wrong_share else None
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
            penalty = losses.squared_gradients(right.fitting, real).mean()
            parts["penalty"] = self.penalty * penalty
        return parts

    def generator(self, network: Discriminator, turns: SeenTurns, made: GeneratedTurn) -> dict[str, Tensor]:
        """Return the generator's terms by name."""
        with torch.no_grad():
            before = network.features(turns.previous)
        seen = network.compare(before, network.features(made.images), turns.instructions)
        parts = {"hinge": losses.hinge_generator(seen.fitting)}
        if seen.pixels is not None:
            parts["pixels"] = losses.hinge_generator(seen.pixels.flatten())
        if self.objects:
            parts["objects"] = self.objects * F.binary_cross_entropy_with_logits(seen.objects, turns.added)
        if self.divergence:
            parts["divergence"] = self.divergence * losses.condition_divergence(made.mean, made.log_variance)
        if self.unchanged:
            still = (turns.real - turns.previous).abs().amax(dim=1, keepdim=True) < STILL
            parts["unchanged"] = self.unchanged * ((made.images - turns.previous).abs() * still).mean()
        return parts


def _halves(features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the features of the first and of the second half of some images."""
    parts = [one.chunk(2) for one in features]
    return [one[0] for one in parts], [one[1] for one in parts]


class DialogueTurns(NamedTuple):
    """One turn of B dialogues, some of which may have ended."""

    previous: Tensor  # (B, 3, R, R) in [-1, 1]
    real: Tensor  # (B, 3, R, R), the true next images
    states: Tensor  # (B, Q) of the dialogues
    others: Callable[[Tensor], Tensor]  # maps (B, ...) of each dialogue to those of the next one, in a circle
    added: Tensor  # (B, K) 0 and 1, the objects that the turn adds
    objects: Tensor  # (B, K), all that are there after it
    rows: Tensor  # int64, the dialogues that have such a turn
    share: float  # weight of these rows' mean in the losses; of all ranks' weights the mean is 1


@dataclass(frozen=True)
class GenevaAdversarial:
    """Adversarial losses with wrong pairs, objects, and a penalty on the gradient at real images.

    The discriminator learns the added objects of real and of generated images, the generator all objects that are
    there, as in the public code. Dialogues that have ended do not count.

    Attributes:
        criterion: ``hinge``, or ``classical``: cross-entropy.
        wrong_share: share of wrong pairs in the term of what is not right, the rest is generated
            (``wrong_fake_ratio``).
        objects: weight of the cross-entropy of objects (``aux_reg``).
        penalty: weight of E[|grad D(x)|^2] at real images (``gp_reg``).
        divergence: weight of the Kullback-Leibler divergence of the conditions (``cond_kl_reg``).
    """

    criterion: Literal["hinge", "classical"] = "hinge"
    wrong_share: Chance = 0.5
    objects: Weight = 10.0
    penalty: Weight = 10.0
    divergence: Weight = 1.0

    def discriminator(self, network: GenevaDiscriminator, turns: DialogueTurns, fake: Tensor) -> dict[str, Tensor]:
        """Return the discriminator's terms by name; ``fake`` (B, 3, R, R) has no graph."""
        real = turns.real.detach().requires_grad_(self.penalty > 0)
        before, after, drawn = (network.features(images) for images in (turns.previous, real, fake))
        right, made = (network.compare(before, part, turns.states) for part in (after, drawn))
        pair = [turns.others(part) for part in (before, after)] if self.wrong_share else ()
        wrong = network.compare(*pair, turns.states) if pair else None
        rows = turns.rows
        against = losses.hinge_discriminator if self.criterion == "hinge" else losses.logistic_discriminator
        fitting = None if wrong is None else wrong.fitting[rows]
        parts = {"adversarial": against(right.fitting[rows], made.fitting[rows], fitting, self.wrong_share)}
        if self.objects:
            each = (F.binary_cross_entropy_with_logits(one.objects[rows], turns.added[rows]) for one in (right, made))
            parts["objects"] = self.objects * sum(each)
        if self.penalty:
            parts["penalty"] = self.penalty * losses.squared_gradients(right.fitting, real)[rows].mean()
        return {name: turns.share * part for name, part in parts.items()}

    def generator(self, network: GenevaDiscriminator, turns: DialogueTurns, made: GeneratedTurn) -> dict[str, Tensor]:
        """Return the generator's terms by name."""
        rows = turns.rows
        with torch.no_grad():
            before = network.features(turns.previous)
        seen = network.compare(before, network.features(made.images), turns.states)
        against = losses.hinge_generator if self.criterion == "hinge" else losses.logistic_generator
        parts = {"adversarial": against(seen.fitting[rows])}
        if self.objects:
            found = F.binary_cross_entropy_with_logits(seen.objects[rows], turns.objects[rows])
            parts["objects"] = self.objects * found
        if self.divergence:
            found = losses.condition_divergence(made.mean[rows], made.log_variance[rows])
            parts["divergence"] = self.divergence * found
        return {name: turns.share * part for name, part in parts.items()}
