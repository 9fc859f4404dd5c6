"""Give the images of a set of spoken captions: its files, or what the generator makes from the captions' latents.

Captions below ``active/`` (datasets/spoken_captions/active_learning.py) describe edited images. An experiment that
generates leaves them out: it compares captions with images that a latent alone gives, and edits those.

Shape letters: B images, R pixels high and wide.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from pydantic import PositiveInt
from torch import Tensor, nn

from common.errors import UserError
from config.limits import Seed
from datasets.spoken_captions.active_learning import PREFIX, latent_ids, split_name
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.readers import GanClevr
from gan.latents import PUBLISHED_SEED, Latents, latent_dim_of

log = logging.getLogger(__name__)


@dataclass
class LatentTable:
    """The table of latents; a caption's id is the row of its image.

    Attributes:
        number: rows of the table; ids beyond are an error. None for as many as the captions need, at most 200,000.
        seed: of the table; 1 as published.
    """

    number: PositiveInt | None = None
    seed: Seed = PUBLISHED_SEED


class Images:
    """Images by row of a dataset: generated from the latents of the captions' ids, or without a generator from files.

    Raises a UserError without generator and images, for a caption's name that is no id, and for a caption of an edited
    image; a LatentError for an id that is no row of the table and for a generator without ``latent_dim``.
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
        names = [dataset.record(row).uttid for row in range(len(dataset))]
        self.ids = latent_ids(names)
        edited = [name for name in names if split_name(name)[1]]
        if edited:
            raise UserError(
                f"caption {edited[0]} of {dataset.source} describes an edited image, which is not generated "
                f"here; give a set without captions below {PREFIX}"
            )
        dim, key = latent_dim_of(generator), "latents.number"
        self.latents = Latents.of_captions(self.ids, dim, table.number, table.seed, key)

    def latents_of(self, rows: Sequence[int]) -> Tensor:
        """Return the latents (B, latent_dim) of rows on the device; without a generator a UserError."""
        if self.generator is None:
            raise UserError("this experiment edits images: set generator to the one that generates them")
        return self.latents.take([self.ids[row] for row in rows]).to(self.device)

    @torch.no_grad()
    def images(self, rows: Sequence[int]) -> Tensor:
        """Return the images of rows, (B, 3, R, R) in about [-1, 1] on the device."""
        if self.generator is not None:
            return self.generator(self.latents_of(rows))
        return torch.stack([from_u8(self.dataset.image_u8(row)) for row in rows]).to(self.device)

    def image_ids(self, rows: Sequence[int]) -> Tensor:
        """Return numbers of the images of rows (B,) int64, equal where the latent or the file's content is the same."""
        if self.generator is not None:
            return torch.tensor([self.ids[row] for row in rows])
        return torch.from_numpy(self.dataset.image_ids(rows))


def leave_out_edited(dataset: SpokenCaptions) -> None:
    """Leave the captions of edited images out of a set whose images are generated, in place; none left is an error."""
    number = dataset.leave_out_active() if isinstance(dataset, GanClevr) else 0
    if number and not len(dataset):
        raise UserError(
            f"all {number} captions of {dataset.source} are below {PREFIX}: they describe edited images, which are "
            "not generated here; give a set with captions of unedited ones"
        )
    if number:
        log.info("left out %d captions below %s: they describe edited images", number, PREFIX)


def from_u8(image: np.ndarray | Image.Image) -> Tensor:
    """Turn an RGB image (H, W, 3) uint8 into (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(image)).movedim(-1, 0).float() / 127.5 - 1
