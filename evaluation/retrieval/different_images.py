"""A retrieval in which each image is one candidate, however many rows show it and whatever captions these have.

Shape letters: N rows or captions, M different images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.retrieval.recall import Retrieval


class Ranked(NamedTuple):
    """A retrieval among the captions and the different images of a split."""

    retrieval: Retrieval  # ranks; every caption of an image is a right answer to it
    images: Tensor  # (M,) for each image the first row of the encoded split that shows it
    image_of: Tensor  # (N,) the image of each caption, 0 to M - 1

    def what(self, split: str) -> str:
        """Return what was searched, such as ``500 test pairs`` or ``100 test captions of 20 images``."""
        if len(self.images) == len(self.image_of):
            return f"{len(self.image_of)} {split} pairs"
        return f"{len(self.image_of)} {split} captions of {len(self.images)} images"


def different_images(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first row of each different id (M,), in order, and the number of each row's id among them (N,)."""
    _, inverse = torch.unique(ids, return_inverse=True)
    rows = torch.arange(len(ids))
    first = torch.full((int(inverse.max()) + 1,), len(ids)).scatter_reduce(0, inverse, rows, "amin")
    order = first.argsort()
    return first[order], order.argsort()[inverse]
