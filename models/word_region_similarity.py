"""Similarity of captions and images by words and regions: the matching score of AttnGAN (arXiv:1711.10485).

Must match taoxugit/AttnGAN ``GlobalAttention.py`` (``func_attention``) and ``miscc/losses.py`` (parity kind
``losses_damsm``). The public code goes caption by caption; here all pairs are one product.

Shape letters: I images, B captions, L words, D embedding size, P regions, H, W of their maps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_NORM = 1e-8  # products of norms below it count as it


class Matched(NamedTuple):
    """Words of every caption held against every image."""

    scores: Tensor  # (I, B)
    attention: Tensor  # (I, B, L, H, W) weights of an image's regions for each word; zero behind a caption's end


def region_context(
    words: Tensor, regions: Tensor, gamma1: float, padding: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return each word's context (I, B, L, D): the mean of an image's regions, weighted (I, B, L, H, W) by similarity.

    Equations (7) to (9): similarities of words (B, D, L) and regions (I, D, H, W) are normalised over the words of each
    region first, then, multiplied by gamma 1, over the regions of each word. ``padding`` (B, L) is true where there is
    no word.
    """
    flat = regions.flatten(2)
    similarity = torch.einsum("idp,bdl->iblp", flat, words)
    if padding is not None:
        similarity = similarity.masked_fill(padding[None, :, :, None], -torch.inf)
    weights = (gamma1 * similarity.softmax(dim=2)).softmax(dim=3)
    return torch.einsum("iblp,idp->ibld", weights, flat), weights.unflatten(3, regions.shape[2:])


def word_scores(words: Tensor, lengths: Tensor, regions: Tensor, gamma1: float = 4.0, gamma2: float = 5.0) -> Matched:
    """Score captions against images by their words, equation (10): a soft maximum of the words' cosines.

    Words are (B, D, L) with ``lengths`` (B,) from 1 to L, regions (I, D, H, W). The scores are the log of the sum of
    exp(gamma 2 * cosine): gamma 2 says how much the best words count.
    """
    padding = torch.arange(words.shape[2], device=words.device) >= lengths.to(words.device)[:, None]
    context, weights = region_context(words, regions, gamma1, padding)
    cosines = cosine(context, words.transpose(1, 2)[None])
    scores = (gamma2 * cosines).masked_fill(padding[None], -torch.inf).logsumexp(dim=2)
    return Matched(scores, weights.masked_fill(padding[None, :, :, None, None], 0.0))


def sentence_scores(sentences: Tensor, images: Tensor) -> Tensor:
    """Return the cosines (I, B) of sentences (B, D) and whole images (I, D), equation (11)."""
    return cosine(images[:, None], sentences[None])


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Return the cosine (...) over the last axis of (..., D) and what broadcasts to it, 0 where one of them is 0."""
    norms = left.norm(dim=-1) * right.norm(dim=-1)
    return (left * right).sum(dim=-1) / norms.clamp(min=LEAST_NORM)
