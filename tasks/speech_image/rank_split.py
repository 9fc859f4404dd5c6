"""Rank the images and captions of an encoded split, each image once however many captions it has.

Shape letters: N captions, D embedding size, T frames, H, W image map.
"""

import torch
from torch import Tensor

from evaluation.retrieval.different_images import Ranked, different_images
from evaluation.retrieval.recall import retrieve
from models.similarity import Similarity
from tasks.speech_image.encode_split import Encoded


def rank_split(encoded: Encoded, image_ids: Tensor, similarity: Similarity, device: torch.device) -> Ranked:
    """Rank every caption for every image and the other way round, in bounded memory.

    ``image_ids`` (N,) int64 are equal for rows that show the same image; ``device`` is where similarities are computed.
    """
    images, image_of = different_images(image_ids)
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
