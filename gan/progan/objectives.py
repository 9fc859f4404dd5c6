"""Losses of both players of a GAN, as objects that a config chooses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

import losses
from config.limits import Count, CountOrZero, Weight
from gan.progan.generator import ProganError

Critic = Callable[[Tensor], Tensor]
Parts = dict[str, Tensor]


class Objective(Protocol):
    """Return the losses of both players."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor, step: int, mix: Tensor) -> Parts:
        """Return the terms whose sum the discriminator minimises.

        ``critic`` turns images (B, 3, R, R) into logits (B,); ``real`` and ``fake``, which is detached, are such
        images; ``step`` counts the optimisation steps done before; ``mix`` (B,) is uniform in 0-1.
        """

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return what the generator minimises, from the same images, ``fake`` with its graph."""


@dataclass(frozen=True)
class WassersteinPenalty:
    """WGAN-GP with a drift term, as the Progressive GAN was published (arXiv:1710.10196, appendix A.1).

    Attributes:
        penalty: weight of the gradient penalty, 10 as published.
        drift: weight of the mean squared logit of real images, 0.001 as published.
    """

    penalty: Weight = 10.0
    drift: Weight = 0.001

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor, step: int, mix: Tensor) -> Parts:  # noqa: ARG002
        """Return the critic loss and the penalty."""
        critic_loss = losses.wasserstein_discriminator(critic(real), critic(fake), self.drift)
        with torch.autocast(real.device.type, enabled=False):
            penalty = losses.gradient_penalty(critic, real.float(), fake.float(), mix)
        return {"wasserstein": critic_loss, "gradient_penalty": self.penalty * penalty}

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # noqa: ARG002
        """Return the negative mean logit."""
        return losses.wasserstein_generator(critic(fake))


@dataclass(frozen=True)
class RelativisticR1R2:
    """Relativistic pairing with penalties at real and generated images (R3GAN: arXiv:2501.05441).

    With the non-saturating loss a small generator goes round the modes (here: one colour after the other); this loss
    keeps them all.

    Attributes:
        gamma_per_pixel: the penalties gamma / 2 * E[|grad D|^2] have gamma = gamma_per_pixel * R^2, which weighs them
            alike at all resolutions: a coarse pixel stands for several fine ones, so gradients by it are larger.
        every: steps between two penalties, each counted as many times.
        final_gamma_per_pixel: its last value, reached geometrically; a discriminator that is held back less sees finer
            differences, which only helps once the coarse ones are learned. None keeps it.
        fall: first and last optimisation step of the fall.

    Raises:
        ProganError: ``fall`` is not two steps, the first before the last.
    """

    gamma_per_pixel: Weight
    every: Count = 16
    final_gamma_per_pixel: Weight | None = None
    fall: tuple[CountOrZero, Count] = (0, 1)

    def __post_init__(self) -> None:
        if not 0 <= self.fall[0] < self.fall[1]:
            raise ProganError(
                f"fall: found {list(self.fall)}, expected two optimisation steps, the first before the last"
            )

    def gamma(self, step: int) -> float:
        """Return the gamma per pixel after ``step`` optimisation steps."""
        if self.final_gamma_per_pixel is None:
            return self.gamma_per_pixel
        start, end = self.fall
        done = min(1.0, max(0.0, (step - start) / (end - start)))
        return self.gamma_per_pixel ** (1 - done) * self.final_gamma_per_pixel**done

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor, step: int, mix: Tensor) -> Parts:  # noqa: ARG002
        """Return the pairwise loss, and the penalties where they are due."""
        parts = {"pairs": losses.relativistic_discriminator(critic(real), critic(fake))}
        if step % self.every == 0:
            weight = 0.5 * self.gamma(step) * real.shape[-1] ** 2 * self.every
            with torch.autocast(real.device.type, enabled=False):
                parts["r1"] = weight * losses.r1_penalty(critic, real.float())
                parts["r2"] = weight * losses.r1_penalty(critic, fake.float())
        return parts

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's pairwise loss."""
        with torch.no_grad():
            real_logits = critic(real)
        return losses.relativistic_generator(real_logits, critic(fake))
