"""Losses of both players of a GAN, as objects that a config chooses.

A critic scores images; where images have classes or captions it knows those of the images that it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

import losses
from common.errors import UserError
from config.limits import Count, CountOrZero, Weight

Critic = Callable[[Tensor], Tensor]
Parts = dict[str, Tensor]


class ObjectiveError(UserError, ValueError):
    """An objective whose numbers do not fit each other."""


class Objective(Protocol):
    """Return the losses of both players."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor, step: int, mix: Tensor) -> Parts:
        """Return the terms whose sum the discriminator minimises.

        ``critic`` turns images (B, 3, R, R) into logits (B,); ``real`` and ``fake``, which is detached, are such
        images; ``step`` counts the optimisation steps done before; ``mix`` (B,) is uniform in 0-1.
        """

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return what the generator minimises, from the same images, ``fake`` with its graph."""


def zero_centred_penalties(
    critic: Critic, real: Tensor, fake: Tensor, gamma_per_pixel: float, step: int, every: int
) -> Parts:
    """Return the penalties gamma / 2 * E[|grad D|^2] at real (R1) and generated images (R2), where they are due.

    Args:
        critic: images (B, 3, R, R) to logits (B,).
        real: (B, 3, R, R).
        fake: the same, generated.
        gamma_per_pixel: gamma / R^2, which weighs the penalties alike at all resolutions: a coarse pixel stands for
            several fine ones, so gradients by it are larger.
        step: optimisation steps done before.
        every: steps between two penalties, each counted as many times.
    """
    if step % every:
        return {}
    weight = 0.5 * gamma_per_pixel * real.shape[-1] ** 2 * every
    with torch.autocast(real.device.type, enabled=False):
        pairs = (("r1", real), ("r2", fake))
        return {name: weight * losses.r1_penalty(critic, images.float()) for name, images in pairs}


@dataclass(frozen=True)
class Hinge:
    """The hinge loss of SAGAN and BigGAN (arXiv:1809.11096, section 2)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor, step: int, mix: Tensor) -> Parts:  # noqa: ARG002
        """Return the hinge loss."""
        return {"hinge": losses.hinge_discriminator(critic(real), critic(fake))}

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:  # noqa: ARG002
        """Return the negative mean logit."""
        return losses.hinge_generator(critic(fake))


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
        gamma_per_pixel: of :func:`zero_centred_penalties`.
        every: steps between two penalties, each counted as many times.
        final_gamma_per_pixel: its last value, reached geometrically; a discriminator that is held back less sees finer
            differences, which only helps once the coarse ones are learned. None keeps it.
        fall: first and last optimisation step of the fall.

    Raises:
        ObjectiveError: ``fall`` is not two steps, the first before the last.
    """

    gamma_per_pixel: Weight
    every: Count = 16
    final_gamma_per_pixel: Weight | None = None
    fall: tuple[CountOrZero, Count] = (0, 1)

    def __post_init__(self) -> None:
        if not 0 <= self.fall[0] < self.fall[1]:
            raise ObjectiveError(
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
        return parts | zero_centred_penalties(critic, real, fake, self.gamma(step), step, self.every)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's pairwise loss."""
        with torch.no_grad():
            real_logits = critic(real)
        return losses.relativistic_generator(real_logits, critic(fake))
