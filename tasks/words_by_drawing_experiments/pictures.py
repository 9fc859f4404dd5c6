"""The pictures of a set of spoken captions: its files, or what the generator draws from the captions' latents.

Shape letters: B pictures, R pixels a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from datasets.active_learning import latent_ids
from datasets.samples import SpokenCaptions
from engine.errors import UserError
from gan.latents import PUBLISHED_SEED, Latents


@dataclass
class LatentTable:
    """Which latents the captions' ids mean.

    Attributes:
        number: rows of the table; ids beyond are an error. None for as many as the captions need, at most 200,000.
        seed: of the table; 1 as published.
    """

    number: PositiveInt | None = None
    seed: int = PUBLISHED_SEED


class Pictures:
    """Pictures by row of a dataset. With a generator they are drawn, else they are read from files.

    Args:
        dataset: captions; with a generator their names are ids of latents.
        generator: (B, latent_dim) to (B, 3, R, R), with ``latent_dim``; None to read files.
        table: which latents.
        device: where the generator runs.

    Raises:
        UserError: neither a generator nor pictures, or a caption's name is no id.
        LatentError: an id is no row of the table, or, without a number, beyond the published one.
    """

    def __init__(
        self, dataset: SpokenCaptions, generator: nn.Module | None, table: LatentTable, device: torch.device
    ) -> None:
        self.dataset = dataset
        self.device = device
        self.generator = generator
        if generator is None:
            if dataset.image is None:
                raise UserError("data has image: null and there is no generator; give one of the two")
            return
        self.generator = generator.eval().requires_grad_(False).to(device)
        self.ids = latent_ids(dataset.record(row).uttid for row in range(len(dataset)))
        dim, key = generator.latent_dim, "latents.number"
        self.latents = Latents.of_captions(self.ids, dim, table.number, table.seed, key)

    def latents_of(self, rows: Sequence[int]) -> Tensor:
        """Return the latents (B, latent_dim) of rows, on the device.

        Args:
            rows: B rows of the dataset.

        Raises:
            UserError: there is no generator.
        """
        if self.generator is None:
            raise UserError("this experiment edits pictures: set generator to the one that draws them")
        return self.latents.take([self.ids[row] for row in rows]).to(self.device)

    @torch.no_grad()
    def images(self, rows: Sequence[int]) -> Tensor:
        """Return the pictures of rows, (B, 3, R, R) in about [-1, 1] on the device.

        Args:
            rows: B rows of the dataset.
        """
        if self.generator is not None:
            return self.generator(self.latents_of(rows))
        return torch.stack([from_u8(self.dataset.image_u8(row)) for row in rows]).to(self.device)


def from_u8(image: np.ndarray) -> Tensor:
    """Turn the picture ``image`` (R, R, 3) uint8 into (3, R, R) float in [-1, 1]."""
    return torch.from_numpy(np.array(image)).movedim(-1, 0).float() / 127.5 - 1
