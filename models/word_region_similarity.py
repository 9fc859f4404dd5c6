"""How well captions fit images by their words and regions: the matching score of AttnGAN (arXiv:1711.10485).

Must match taoxugit/AttnGAN ``GlobalAttention.py`` (``func_attention``) and ``miscc/losses.py`` (parity kind
``losses_damsm``). The public code goes caption by caption; here all pairs are one product.

Shape letters: I images, B captions, L words, D embedding size, P regions, H, W their sides.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_NORM = 1e-8  # products of norms below it count as it


class Matched(NamedTuple):
    """Words of every caption held against every image.

    Attributes:
        scores: (I, B).
        attention: (I, B, L, H, W) weights of an image's regions for each word; zero behind a caption's end.
    """

    scores: Tensor
    attention: Tensor


def region_context(
    words: Tensor, regions: Tensor, gamma1: float, padding: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Give each word the mean of an image's regions, weighted by how well they fit it, equations (7) to (9).

    Fits are normalised over the words of each region first, then, sharpened, over the regions of each word.

    Args:
        words: (B, D, L).
        regions: (I, D, H, W).
        gamma1: gamma 1, that the first weights are multiplied by.
        padding: (B, L) bool, true where there is no word.

    Returns:
        Contexts (I, B, L, D) and weights (I, B, L, H, W).
    """
    flat = regions.flatten(2)
    similarity = torch.einsum("idp,bdl->iblp", flat, words)
    if padding is not None:
        similarity = similarity.masked_fill(padding[None, :, :, None], -torch.inf)
    weights = (gamma1 * similarity.softmax(dim=2)).softmax(dim=3)
    return torch.einsum("iblp,idp->ibld", weights, flat), weights.unflatten(3, regions.shape[2:])


def word_scores(words: Tensor, lengths: Tensor, regions: Tensor, gamma1: float = 4.0, gamma2: float = 5.0) -> Matched:
    """Score captions against images by their words, equation (10): a soft maximum of the words' cosines.

    Args:
        words: (B, D, L).
        lengths: (B,) words of each caption, 1 to L.
        regions: (I, D, H, W).
        gamma1: gamma 1 of :func:`region_context`.
        gamma2: gamma 2: how much the best words count.

    Returns:
        Scores, log of the sum of exp(gamma 2 * cosine), and the weights.
    """
    padding = torch.arange(words.shape[2], device=words.device) >= lengths.to(words.device)[:, None]
    context, weights = region_context(words, regions, gamma1, padding)
    cosines = cosine(context, words.transpose(1, 2)[None])
    scores = (gamma2 * cosines).masked_fill(padding[None], -torch.inf).logsumexp(dim=2)
    return Matched(scores, weights.masked_fill(padding[None, :, :, None, None], 0.0))


def sentence_scores(sentences: Tensor, images: Tensor) -> Tensor:
    """Return how well sentences fit images as a whole, equation (11).

    Args:
        sentences: (B, D).
        images: (I, D).

    Returns:
        Cosines (I, B).
    """
    return cosine(images[:, None], sentences[None])


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Return the cosine over the last axis.

    Args:
        left: (..., D).
        right: the same, or what broadcasts to it.

    Returns:
        (...), 0 where one side is 0.
    """
    norms = left.norm(dim=-1) * right.norm(dim=-1)
    return (left * right).sum(dim=-1) / norms.clamp(min=LEAST_NORM)
