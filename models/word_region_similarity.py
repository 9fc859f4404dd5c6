"""Similarity of captions and images by words and regions: the matching score of AttnGAN (arXiv:1711.10485).

Must match taoxugit/AttnGAN ``GlobalAttention.py`` (``func_attention``) and ``miscc/losses.py`` (parity kind
``losses_damsm``). The public code goes caption by caption and repeats each for every image; here the words of all
captions, without their padding, meet one image after the other, so that a map of similarities stays in the cache.

Shape letters: I images, B captions, L words, W words of all captions, D embedding size, P regions, H, W' of their maps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_NORM = 1e-8  # products of norms below it count as it
GPU_IMAGES = 16  # images at a time, where there is no cache to stay in


class Words(NamedTuple):
    """The words of all captions, one after the other."""

    vectors: Tensor  # (W, D)
    caption: Tensor  # (W,) int64, whose they are
    captions: int  # B

    def summed(self, values: Tensor) -> Tensor:
        """Sum (I, W, ...) over the words of each caption: (I, B, ...)."""
        total = values.new_zeros(len(values), self.captions, *values.shape[2:])
        return total.index_add_(1, self.caption, values)

    def largest(self, values: Tensor) -> Tensor:
        """Return the largest of (I, W, P) over the words of its caption, for each word."""
        rows = self.caption[None, :, None].expand_as(values)
        top = values.new_full((len(values), self.captions, values.shape[2]), -torch.inf)
        return top.scatter_reduce_(1, rows, values, "amax")[:, self.caption]


def packed(words: Tensor, lengths: Tensor) -> Words:
    """Leave the padding out of words (B, D, L) of ``lengths`` (B,)."""
    there = torch.arange(words.shape[2], device=words.device) < lengths.to(words.device)[:, None]
    return Words(words.transpose(1, 2)[there], there.nonzero()[:, 0], len(words))


def region_context(
    words: Tensor, regions: Tensor, gamma1: float, padding: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return each word's context (B, L, D): the mean of the regions, weighted (B, L, H, W') by similarity.

    Equations (7) to (9) for B pairs: similarities of words (B, D, L) and regions (B, D, H, W') are normalised over the
    words of each region first, then, multiplied by gamma 1, over the regions of each word. ``padding`` (B, L) is true
    where there is no word.
    """
    flat = regions.flatten(2)
    similarity = words.transpose(1, 2) @ flat
    if padding is not None:
        similarity = similarity.masked_fill(padding[:, :, None], -torch.inf)
    weights = (gamma1 * similarity.softmax(dim=1)).softmax(dim=2)
    return weights @ flat.transpose(1, 2), weights.unflatten(2, regions.shape[2:])


def attention(words: Tensor, lengths: Tensor, regions: Tensor, gamma1: float = 4.0) -> Tensor:
    """Return where the words (B, D, L) of each caption attend in its own image (B, D, H, W'): (B, L, H, W').

    The weights of a word add up to one; behind a caption's end, which ``lengths`` (B,) say, they are 0.
    """
    padding = torch.arange(words.shape[2], device=words.device) >= lengths.to(words.device)[:, None]
    _, weights = region_context(words, regions, gamma1, padding)
    return weights.masked_fill(padding[:, :, None, None], 0.0)


def word_scores(words: Tensor, lengths: Tensor, regions: Tensor, gamma1: float = 4.0, gamma2: float = 5.0) -> Tensor:
    """Score captions against images by their words, equation (10): (I, B), a soft maximum of the words' cosines.

    Words are (B, D, L) with ``lengths`` (B,) from 1 to L, regions (I, D, H, W'). The scores are the log of the sum of
    exp(gamma 2 * cosine): gamma 2 says how much the best words count.
    """
    at_once = 1 if words.device.type == "cpu" else GPU_IMAGES
    with torch.autocast(words.device.type, enabled=False):  # gamma 3 * gamma 2 * cosine needs more than eight bits
        own = packed(_full(words), lengths)
        cosines = torch.cat([_cosines(own, part, gamma1) for part in _full(regions).flatten(2).split(at_once)])
        return own.summed((gamma2 * cosines).exp()).log()


def _full(values: Tensor) -> Tensor:
    """Return half precision as float32, and everything else as it is."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def _cosines(words: Words, regions: Tensor, gamma1: float) -> Tensor:
    """Return the cosines (I, W) of words with their contexts in images of regions (I, D, P).

    The product of a context sum(a v) with its word f is sum(a (f v)), of similarities that are there already.
    """
    similarity = words.vectors @ regions
    chosen = (similarity - words.largest(similarity.detach())).exp()
    chosen = chosen / words.summed(chosen)[:, words.caption]  # over the words of a caption
    weights = (gamma1 * chosen).softmax(dim=2)
    norms = (weights @ regions.transpose(1, 2)).norm(dim=2) * words.vectors.norm(dim=1)
    return torch.linalg.vecdot(weights, similarity) / norms.clamp(min=LEAST_NORM)


def sentence_scores(sentences: Tensor, images: Tensor) -> Tensor:
    """Return the cosines (I, B) of sentences (B, D) and whole images (I, D), equation (11)."""
    return cosine(images[:, None], sentences[None])


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Return the cosine (...) over the last axis of (..., D) and what broadcasts to it, 0 where one of them is 0."""
    norms = left.norm(dim=-1) * right.norm(dim=-1)
    return (left * right).sum(dim=-1) / norms.clamp(min=LEAST_NORM)
