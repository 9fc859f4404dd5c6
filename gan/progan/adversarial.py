"""Losses of generative adversarial networks: pure functions of logits and pictures.

Logits are (B,), larger for pictures taken as real, or (B, K) of K discriminators, whose losses add up.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _mean(terms: Tensor) -> Tensor:
    """Average over the batch, add over discriminators."""
    return terms.sum() / len(terms)


def wasserstein_discriminator(real: Tensor, fake: Tensor, drift: float = 0.001) -> Tensor:
    """Critic loss E[D(fake)] - E[D(real)] + drift * E[D(real)^2].

    Wasserstein GAN: arXiv:1701.07875; the drift term keeps the outputs near zero: arXiv:1710.10196, appendix A.1.

    Args:
        real: (B,) or (B, discriminators) logits of real pictures.
        fake: the same of generated ones.
        drift: weight of the drift term, 0.001 as published.

    Returns:
        A scalar: the mean over the batch, the sum over discriminators.
    """
    return _mean(fake) - _mean(real) + drift * _mean(real.square())


def wasserstein_generator(fake: Tensor) -> Tensor:
    """Generator loss -E[D(fake)]. arXiv:1701.07875.

    Args:
        fake: (B,) or (B, discriminators) logits of generated pictures.

    Returns:
        A scalar, see :func:`wasserstein_discriminator`.
    """
    return -_mean(fake)


def relativistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Pairwise logistic loss E[-log s(D(real_i) - D(fake_i))]: real pictures must score above generated ones.

    Relativistic pairing: arXiv:1807.00734; with penalties on both sides it keeps all modes: arXiv:2501.05441.

    Args:
        real: (B,) or (B, discriminators) logits of real pictures.
        fake: the same shape, of the generated picture that each is paired with.

    Returns:
        A scalar: the mean over the batch, the sum over discriminators.
    """
    return _mean(F.softplus(fake - real))


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Generator loss E[-log s(D(fake_i) - D(real_i))]. arXiv:1807.00734.

    Args:
        real: (B,) or (B, discriminators) logits of real pictures.
        fake: the same shape, of the generated picture that each is paired with.

    Returns:
        A scalar: the mean over the batch, the sum over discriminators.
    """
    return _mean(F.softplus(real - fake))


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Two-sided penalty E[(|grad D(x)| - 1)^2] at points between real and generated pictures. arXiv:1704.00028.

    Args:
        critic: pictures (B, 3, R, R) to logits.
        real: (B, 3, R, R).
        fake: (B, 3, R, R), its gradient is not followed.
        mix: (B,) in 0-1, the share of the generated picture at each point.

    Returns:
        A scalar that can be differentiated with respect to the critic's weights.
    """
    points = torch.lerp(real, fake.detach(), mix.view(-1, 1, 1, 1)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def r1_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Mean squared gradient norm E[|grad D(x)|^2]; weigh it by gamma / 2. R1 takes real pictures, R2 generated ones.

    arXiv:1801.04406, section 4.1.

    Args:
        critic: pictures (B, 3, R, R) to logits.
        images: (B, 3, R, R).

    Returns:
        A scalar that can be differentiated with respect to the critic's weights.
    """
    points = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()
