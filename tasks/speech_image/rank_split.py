"""Rank the images and captions of an encoded split, each image once however many captions it has.

Shape letters: N captions, M images, D embedding size, T frames, H, W image map.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from evaluation.retrieval.recall import Retrieval, retrieve
from models.similarity import Similarity
from tasks.speech_image.encode_split import Encoded


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


def rank_split(encoded: Encoded, image_ids: Tensor, similarity: Similarity, device: torch.device) -> Ranked:
    """Rank every caption for every image and the other way round, in bounded memory.

    ``image_ids`` (N,) int64 are equal for rows that show the same image; ``device`` is where similarities are computed.
    """
    images, image_of = _different(image_ids)
    several = len(images) < len(image_ids)
    maps = encoded.image[images] if several else encoded.image
    labels = (torch.arange(len(images)), image_of) if several else (None, None)
    pooled = similarity.embeddings(maps, encoded.speech, encoded.nframes)
    if pooled is None:
        found = retrieve(maps, encoded.speech, encoded.nframes, similarity, 512, *labels, device)
    else:
        found = retrieve(*pooled, None, _product, 4096, *labels, device)
    return Ranked(found, images, image_of)


def _product(images: Tensor, captions: Tensor, _nframes: None) -> Tensor:
    """Return dot products (i, s) of mean embeddings (i, D) and (s, D)."""
    with torch.autocast(images.device.type, enabled=False):
        return images @ captions.T


def _different(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first row of each different id (M,), in order, and the number of each row's id among them (N,)."""
    _, inverse = torch.unique(ids, return_inverse=True)
    rows = torch.arange(len(ids))
    first = torch.full((int(inverse.max()) + 1,), len(ids)).scatter_reduce(0, inverse, rows, "amin")
    order = first.argsort()
    return first[order], order.argsort()[inverse]
