"""What every method that finds directions takes and returns, and random directions, with which they are compared.

Shape letters: Z latents, K directions, D numbers in a latent, G sets of directions: one for all latents, or one each.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from common.errors import UserError
from config.limits import Count
from gan.latents import latent_dim_of

SALT = 0x6469726563  # of the seeds of directions


class DirectionError(UserError, ValueError):
    """Directions that cannot be found, or do not fit a generator."""


class Directions(NamedTuple):
    """Keep directions of unit norm, the layer that each was made for, and its method's score."""

    vectors: Tensor  # (G, K, D)
    layers: list[str]  # K, empty text for none
    scores: Tensor  # (G, K), see the method

    def of(self, latent: int) -> Tensor:
        """Return the directions (K, D) of one latent, or of all where there is one set."""
        return self.vectors[latent if len(self.vectors) > 1 else 0]


class DirectionMethod(Protocol):
    """Find directions of a generator in evaluation mode."""

    def find(self, generator: nn.Module, latents: Tensor, classes: Tensor | None = None, seed: int = 0) -> Directions:
        """Return directions from latents (Z, D), with classes (Z,) where the generator takes them."""


def shifted(latents: Tensor, directions: Tensor, alpha: float, normalise: bool = True) -> Tensor:
    """Return latents (..., D) moved by ``alpha`` times directions (..., D), whose shapes broadcast.

    With ``normalise`` directions count by their unit vectors, as images are shown in the published notebooks (alpha
    about 6); distilled directions have lengths that mean something without. Raises DirectionError at another D.
    """
    if latents.shape[-1] != directions.shape[-1]:
        raise DirectionError(
            f"the directions have {directions.shape[-1]} numbers and the latents {latents.shape[-1]}; take directions "
            "that were found for this generator"
        )
    if normalise:
        directions = torch.nn.functional.normalize(directions, dim=-1)
    return latents + alpha * directions


def check_inputs(generator: nn.Module, latents: Tensor, classes: Tensor | None) -> None:
    """Raise DirectionError where latents or classes do not fit, or the generator is in training mode."""
    dim = latent_dim_of(generator)
    if latents.dim() != 2 or latents.shape[1] != dim or not len(latents):
        raise DirectionError(f"found latents {tuple(latents.shape)}, expected (Z, {dim}), at least one")
    if classes is not None and classes.shape != latents.shape[:1]:
        raise DirectionError(f"found classes {tuple(classes.shape)}, expected ({len(latents)},), one for each latent")
    if generator.training:
        raise DirectionError("the generator is in training mode, in which images depend on their batch; call eval()")


@dataclass(frozen=True)
class RandomDirections:
    """Normal directions, of unit norm; their score is 0.

    Attributes:
        number: K.
        orthogonal: each orthogonal to all others, of which there are at most D.
    """

    number: Count = 12
    orthogonal: bool = False

    def find(self, generator: nn.Module, latents: Tensor, classes: Tensor | None = None, seed: int = 0) -> Directions:
        """Draw them on the CPU from the seed; of the latents only the size counts."""
        check_inputs(generator, latents, classes)
        drawn = torch.randn(self.number, latents.shape[1], generator=numbers_of(seed))
        if self.orthogonal:
            check_room(self.number, latents.shape[1])
            drawn = orthonormal(drawn)
        vectors = torch.nn.functional.normalize(drawn, dim=1).to(latents)
        return Directions(vectors[None], [""] * self.number, torch.zeros(1, self.number))


def numbers_of(seed: int) -> torch.Generator:
    """Return random numbers that are others than those of latents drawn with the same seed.

    Otherwise directions would be the latents themselves, and a step along them change next to nothing.
    """
    return torch.Generator().manual_seed((seed + SALT) % 2**63)


def check_room(number: int, dim: int) -> None:
    """Raise DirectionError where so many directions cannot all be orthogonal."""
    if number > dim:
        raise DirectionError(f"{number} orthogonal directions do not fit a latent of {dim} numbers; ask for fewer")


def orthonormal(vectors: Tensor) -> Tensor:
    """Make vectors (..., K, D) of unit norm and orthogonal, each to those before it (Gram-Schmidt), K at most D."""
    q, r = torch.linalg.qr(vectors.mT)
    signs = r.diagonal(dim1=-2, dim2=-1).sign()
    return (q * torch.where(signs == 0, 1, signs).unsqueeze(-2)).mT
