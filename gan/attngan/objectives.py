"""Losses of the generators and discriminators of text-conditional images, as objects that a config chooses.

Shape letters: B images, D size of a sentence's embedding, R height and width of the images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

import losses
from config.limits import Count, Weight
from gan.attngan.discriminators import Logits
from gan.objectives import zero_centred_penalties

Parts = dict[str, Tensor]


class Discriminator(Protocol):
    """A network that scores images with sentences."""

    resolution: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return features of images (B, 3, R, R)."""

    def logits(self, features: Tensor, sentences: Tensor) -> Logits:
        """Score features with sentences (B, D)."""


class Seen(NamedTuple):
    """What a discriminator sees in a step."""

    real: Tensor  # (B, 3, R, R) in [-1, 1]
    fake: Tensor  # the same, generated from the same sentences
    sentences: Tensor  # (B, D) of both
    wrong: Tensor  # (B,) row of a sentence that does not fit, -1 where there is none

    def mismatched(self) -> tuple[Tensor, Tensor]:
        """Return the rows of images (W,) that have a wrong sentence, and the rows of these sentences (W,)."""
        rows = (self.wrong >= 0).nonzero()[:, 0]
        return rows, self.wrong[rows]


class Objective(Protocol):
    """Return the losses of both players."""

    def discriminator(self, network: Discriminator, seen: Seen, step: int) -> Parts:
        """Return the terms whose sum a discriminator minimises; ``seen.fake`` is detached, ``step`` counts from 0."""

    def generator(self, network: Discriminator, seen: Seen) -> Tensor:
        """Return what the generator minimises, from ``seen.fake`` with its graph."""


@dataclass(frozen=True)
class Published:
    """The losses of AttnGAN (arXiv:1711.10485, equations 4 to 6), on logits."""

    def discriminator(self, network: Discriminator, seen: Seen, step: int) -> Parts:  # noqa: ARG002
        """Return the cross-entropies of real, generated and mismatched pairs."""
        real, fake = network(seen.real), network(seen.fake)
        rows, others = seen.mismatched()
        fitting, made = network.logits(real, seen.sentences), network.logits(fake, seen.sentences)
        wrong = network.logits(real[rows], seen.sentences[others]).fitting
        loss = losses.attngan_discriminator(fitting.fitting, made.fitting, wrong, fitting.alone, made.alone)
        return {"cross_entropy": loss}

    def generator(self, network: Discriminator, seen: Seen) -> Tensor:
        """Return the cross-entropy of generated images to be taken as real, with and without their sentence."""
        return losses.attngan_generator(*network.logits(network(seen.fake), seen.sentences))


@dataclass(frozen=True)
class RelativisticMatching:
    """Relativistic pairing of real and generated, and of fitting and mismatched pairs, with R1 and R2.

    R3GAN's loss (arXiv:2501.05441) for pairs of image and sentence: a real pair must score above the generated one, and
    above the same image with a sentence of another class.

    Attributes:
        gamma_per_pixel: the penalties gamma / 2 * E[|grad D|^2] have gamma = gamma_per_pixel * R^2.
        every: steps between two penalties, each counted as many times.
        mismatched: weight of the pairs with a wrong sentence.
    """

    gamma_per_pixel: Weight = 1e-3
    every: Count = 8
    mismatched: Weight = 0.5

    def discriminator(self, network: Discriminator, seen: Seen, step: int) -> Parts:
        """Return the pairwise losses, and the penalties where they are due."""
        real, fake = network(seen.real), network(seen.fake)
        fitting, made = network.logits(real, seen.sentences), network.logits(fake, seen.sentences)
        parts = {"pairs": _over_logits(losses.relativistic_discriminator, fitting, made)}
        rows, others = seen.mismatched()
        if len(rows):
            wrong = network.logits(real[rows], seen.sentences[others])
            parts["mismatched"] = self.mismatched * F.softplus(wrong.fitting - fitting.fitting[rows]).mean()

        def critic(images: Tensor) -> Tensor:
            logits = network.logits(network(images), seen.sentences)
            return logits.fitting if logits.alone is None else logits.fitting + logits.alone

        due = zero_centred_penalties(critic, seen.real, seen.fake, self.gamma_per_pixel, step, self.every)
        return parts | due

    def generator(self, network: Discriminator, seen: Seen) -> Tensor:
        """Return the pairwise loss with the parts exchanged."""
        with torch.no_grad():
            real = network.logits(network(seen.real), seen.sentences)
        return _over_logits(losses.relativistic_generator, real, network.logits(network(seen.fake), seen.sentences))


@dataclass(frozen=True)
class MatchingAware:
    """DF-GAN's losses (arXiv:2008.05865): a hinge on one logit, and a matching-aware gradient penalty.

    The penalty is zero-centred at real images with their sentences only, so that the generator is drawn to fitting
    pairs; 2 and 6 are the published weight and power.

    Attributes:
        penalty: weight of the gradient penalty.
        power: of the gradient's norm.
        every: steps between two penalties, each counted as many times; 1 as published.
    """

    penalty: Weight = 2.0
    power: Weight = 6.0
    every: Count = 1

    def discriminator(self, network: Discriminator, seen: Seen, step: int) -> Parts:
        """Return the hinge loss, and the penalty where it is due."""

        def score(images: Tensor, sentences: Tensor) -> Tensor:
            return network.logits(network(images), sentences).fitting

        real = network(seen.real)
        rows, others = seen.mismatched()
        fitting = network.logits(real, seen.sentences).fitting
        wrong = network.logits(real[rows], seen.sentences[others]).fitting
        parts = {"hinge": losses.matching_hinge(fitting, score(seen.fake, seen.sentences), wrong)}
        if step % self.every == 0:
            with torch.autocast(seen.real.device.type, enabled=False):
                penalty = losses.matching_penalty(score, seen.real.float(), seen.sentences.float(), self.power)
            parts["gradient_penalty"] = self.penalty * self.every * penalty
        return parts

    def generator(self, network: Discriminator, seen: Seen) -> Tensor:
        """Return the negative mean logit."""
        return -network.logits(network(seen.fake), seen.sentences).fitting.mean()


def _over_logits(loss: Callable[[Tensor, Tensor], Tensor], real: Logits, fake: Logits) -> Tensor:
    """Return a loss of real and fake logits, with their sentences and, where there are any, alone: the mean of both."""
    fitting = loss(real.fitting, fake.fitting)
    return fitting if real.alone is None or fake.alone is None else (fitting + loss(real.alone, fake.alone)) / 2
