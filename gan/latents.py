"""Latents of generators: row i of one fixed table, so that a number names an image for ever.

As published (``ablate/gantest.py`` of surisdi/learning-by-drawing): the numbers of
``RandomState(1).standard_normal(n * dim)`` reshaped to (n, dim). A caption file's name is its row, so the order must
never change; NumPy keeps RandomState's streams frozen.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError

PUBLISHED_SEED = 1
PUBLISHED_NUMBER = 200_000  # rows of the published table, and the most that captions may imply


class LatentError(UserError, ValueError):
    """A latent was asked for that does not exist."""


def latents(number: int, dim: int, seed: int = PUBLISHED_SEED) -> Tensor:
    """Return the first rows of the table of latents, (number, dim) float32, standard normal.

    Rows are the same whatever their number; ``seed`` is 1 as published.
    """
    rows = np.random.RandomState(seed).standard_normal(number * dim).reshape(number, dim)
    return torch.from_numpy(rows.astype(np.float32))


def latent_dim_of(generator: nn.Module) -> int:
    """Return how many numbers a generator (B, latent_dim) to (B, 3, R, R) draws an image from, its ``latent_dim``.

    Raises LatentError where it has none, as networks that are no generators.
    """
    dim = getattr(generator, "latent_dim", None)
    if not isinstance(dim, int):
        raise LatentError(
            f"{type(generator).__name__} has no latent_dim; expected a generator, which says how many numbers it "
            "draws an image from: give one as generator, such as gan.shipped.load"
        )
    return dim


def implied_number(ids: Sequence[int], key: str) -> int:
    """Return how many rows captions of these ids need where the config's ``key`` names no number.

    Raises LatentError where the largest is beyond the published table, so that it is more likely a slip than a latent.
    """
    largest = max(ids, default=0)
    if largest >= PUBLISHED_NUMBER:
        raise LatentError(
            f"caption {largest} asks for {largest + 1} latents, but without a number there are at most "
            f"{PUBLISHED_NUMBER} as published; correct the caption's name, or set {key} to how many there are"
        )
    return largest + 1


class Latents:
    """Keep a table of latents (number, dim) from which rows are taken by their ids; ``seed`` is 1 as published.

    Raises LatentError where ``number`` or ``dim`` is below 1.
    """

    def __init__(self, number: int, dim: int, seed: int = PUBLISHED_SEED) -> None:
        if number < 1 or dim < 1:
            raise LatentError(f"found number={number} and dim={dim}; expected at least 1 of each")
        self.table = latents(number, dim, seed)

    @classmethod
    def of_captions(cls, ids: Sequence[int], dim: int, number: int | None, seed: int, key: str) -> "Latents":
        """Make the table that captions are named by, with all their ids.

        Args:
            ids: of all captions, at least 0.
            dim: numbers in a latent.
            number: rows; None for as many as the captions need.
            seed: 1 as published.
            key: of the config, which names the number.

        Raises:
            LatentError: an id is no row of the table, or, without a number, beyond the published one.
        """
        table = cls(number or implied_number(ids, key), dim, seed)
        table.check(ids)
        return table

    def __len__(self) -> int:
        return len(self.table)

    def take(self, ids: Sequence[int] | Tensor) -> Tensor:
        """Return the latents (B, dim) float32 of the ids (B,).

        Raises LatentError where an id is no row of the table.
        """
        self.check(ids)
        return self.table[torch.as_tensor(ids, dtype=torch.int64)]

    def check(self, ids: Sequence[int] | Tensor) -> None:
        """Raise LatentError, which names the first, for ``ids`` (B,) that are no rows of the table."""
        number = len(self.table)
        outside = [row for row in (ids.tolist() if isinstance(ids, Tensor) else ids) if not 0 <= row < number]
        if outside:
            raise LatentError(
                f"latent id {int(outside[0])} is out of range: there are {number} latents, 0 to "
                f"{number - 1}; raise the number of latents or check the captions' names"
            )
