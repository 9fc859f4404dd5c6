"""Similarity of image maps and speech sequences, for aligned pairs and for all pairs of two sets.

The matchmap of one image and one spoken caption is M[h, w, t] = <image[:, h, w], speech[:, t]>. A similarity reduces it
to a number: MISA (maximum over the image, mean over the speech), SIMA (mean over the image, maximum over the speech),
SISA (mean over both). Source: Harwath et al., "Jointly Discovering Visual Objects and Spoken Words", arXiv:1804.01452;
public code wnhsu/ResDAVEnet-VQ ``steps/util.py``.

Shapes: B aligned pairs, I images, S spoken captions, D channels, H x W image positions (P together), T frames. Image
maps are (I, D, H, W), speech maps (S, D, T), valid frames ``nframes`` (S,), all T when None. Every function raises a
MatchmapError for other shapes.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from common.errors import UserError
from models.maxdot import mean_of_max

Kind = Literal["MISA", "SISA", "SIMA", "pooled"]
Measure = Literal["dot", "cosine"]
KINDS = ("MISA", "SISA", "SIMA", "pooled")
POOLED = ("SISA", "pooled")  # products of mean embeddings
MEASURES = ("dot", "cosine")


class MatchmapError(UserError, ValueError):
    """Maps whose shapes do not fit each other, or an unknown way to compare them."""


def _check(image: Tensor, speech: Tensor, nframes: Tensor | None, kind: str, measure: str) -> None:
    if image.dim() != 4 or speech.dim() != 3:
        raise MatchmapError(
            f"Expected image maps (I, D, H, W) and speech maps (S, D, T), got {tuple(image.shape)} and "
            f"{tuple(speech.shape)}. Take the encoders' outputs as they are, with the batch axis."
        )
    if image.shape[1] != speech.shape[1]:
        raise MatchmapError(
            f"Image maps have {image.shape[1]} channels, speech maps {speech.shape[1]}: they must agree. "
            "Give both encoders the same embedding_dim."
        )
    if 0 in image.shape[1:] or 0 in speech.shape[1:]:
        raise MatchmapError(
            f"Maps need at least one channel, position and frame, got {tuple(image.shape)} and {tuple(speech.shape)}. "
            "Use larger images or longer recordings than the encoder's pooling."
        )
    if nframes is not None and nframes.shape != speech.shape[:1]:
        raise MatchmapError(
            f"nframes must have one value per spoken caption, ({speech.shape[0]},), got {tuple(nframes.shape)}."
        )
    if kind not in KINDS or measure not in MEASURES:
        raise MatchmapError(
            f"Unknown similarity {kind!r} with {measure!r}: kind is one of {KINDS}, measure of {MEASURES}."
        )


def _check_aligned(image: Tensor, speech: Tensor) -> None:
    if image.shape[0] != speech.shape[0]:
        raise MatchmapError(
            f"Aligned pairs need as many images as spoken captions, got {image.shape[0]} and {speech.shape[0]}. "
            "For all pairs of two sets use similarity()."
        )


def _valid_frames(speech: Tensor, nframes: Tensor | None, min_frames: int) -> Tensor:
    """Return the valid frames (S,) int64 of each spoken caption, between ``min_frames`` (at least 1 here) and T."""
    if nframes is None:
        return torch.full((speech.shape[0],), speech.shape[2], dtype=torch.int64, device=speech.device)
    return nframes.to(speech.device, torch.int64).clamp(min=max(min_frames, 1), max=speech.shape[2])


def matchmaps(image: Tensor, speech: Tensor, measure: Measure = "dot") -> Tensor:
    """Return the matchmap (B, H, W, T) of every aligned pair; frames beyond a caption's end are the caller's to ignore.

    With ``cosine`` both maps are scaled to length 1 over D at each position.
    """
    _check(image, speech, None, "MISA", measure)
    _check_aligned(image, speech)
    if measure == "cosine":
        image, speech = F.normalize(image, dim=1), F.normalize(speech, dim=1)
    scores = torch.bmm(image.flatten(2).transpose(1, 2), speech)
    return scores.view(image.shape[0], *image.shape[2:], speech.shape[2])


def aligned_similarity(
    image: Tensor,
    speech: Tensor,
    nframes: Tensor | None = None,
    kind: Kind = "MISA",
    measure: Measure = "dot",
    min_frames: int = 1,
) -> Tensor:
    """Return the similarity (B,) of each aligned pair: the diagonal of :func:`similarity`, without the rest."""
    _check(image, speech, nframes, kind, measure)
    _check_aligned(image, speech)
    frames = _valid_frames(speech, nframes, min_frames)
    if kind in POOLED:
        images, captions = mean_of_images(image, kind, measure), mean_of_captions(speech, frames, kind, measure)
        return _void((images * captions).sum(1), nframes, min_frames)
    # Positions in column order, as published: among equal maxima the gradient goes to the first column.
    scores = matchmaps(image, speech, measure).transpose(1, 2).flatten(1, 2)
    valid = torch.arange(speech.shape[2], device=speech.device) < frames[:, None]
    if kind == "MISA":
        best = scores.max(dim=1).values.masked_fill(~valid, 0)
        return _void(best.sum(1) / frames, nframes, min_frames)
    return _void(scores.masked_fill(~valid[:, None], -torch.inf).max(dim=2).values.mean(1), nframes, min_frames)


def _void(scores: Tensor, nframes: Tensor | None, min_frames: int) -> Tensor:
    """Mark captions without a frame as NaN (last axis) when nothing raises their length."""
    if nframes is None or min_frames > 0:
        return scores
    return scores.masked_fill(nframes.to(scores.device) < 1, torch.nan)


def mean_of_images(image: Tensor, kind: Kind, measure: Measure) -> Tensor:
    """Return the mean embedding (I, D) of each image, for the kinds that compare nothing else, SISA and pooled.

    With the dot product both are the same number. With cosine SISA normalises at each position and then averages,
    pooled averages and then normalises.
    """
    if measure == "cosine" and kind == "SISA":
        image = F.normalize(image, dim=1)
    images = image.flatten(2).mean(2)
    return F.normalize(images, dim=1) if measure == "cosine" and kind == "pooled" else images


def mean_of_captions(speech: Tensor, nframes: Tensor | None, kind: Kind, measure: Measure) -> Tensor:
    """Return the mean embedding (S, D) of each spoken caption; fewer than 1 valid frame counts as 1.

    Its product with :func:`mean_of_images` is the similarity.
    """
    if measure == "cosine" and kind == "SISA":
        speech = F.normalize(speech, dim=1)
    if nframes is None:
        captions = speech.mean(2)
    else:
        frames = _valid_frames(speech, nframes, 1)
        valid = torch.arange(speech.shape[2], device=speech.device) < frames[:, None]
        captions = speech.masked_fill(~valid[:, None], 0).sum(2) / frames[:, None].to(speech.dtype)
    return F.normalize(captions, dim=1) if measure == "cosine" and kind == "pooled" else captions


def max_of_mean(image: Tensor, speech: Tensor, nframes: Tensor | None = None) -> Tensor:
    """Return the maximum over the image of the mean over the frames of every image's and caption's dot products (I, S).

    MISA takes mean and maximum the other way round. With this score surisdi/learning-by-drawing chooses among images in
    its tests (``experiments.py``: test_recall_selected, test_synthetic), whatever its loss compares.
    """
    _check(image, speech, nframes, "MISA", "dot")
    captions = mean_of_captions(speech, nframes, "pooled", "dot")
    return (image.flatten(2).transpose(1, 2) @ captions.T).amax(1)


def similarity(
    image: Tensor,
    speech: Tensor,
    nframes: Tensor | None = None,
    kind: Kind = "MISA",
    measure: Measure = "dot",
    budget_mb: float = 512,
    min_frames: int = 1,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the similarity of every image with every spoken caption.

    Nothing larger than the memory budget is held at a time, in the forward and in the backward pass, and padded
    frames cost nothing. Second derivatives are not available for MISA and SIMA.

    Args:
        image: image maps (I, D, H, W).
        speech: speech maps (S, D, T).
        nframes: valid frames of each spoken caption (S,), all T when None; more than T counts as T.
        kind: ``MISA`` mean over frames of the maximum over the image, ``SIMA`` mean over the image of the maximum over
            frames, ``SISA`` mean over both, ``pooled`` product of the mean embeddings.
        measure: ``dot``, or ``cosine``: maps scaled to length 1 over D at each position (``pooled``: after the mean).
        budget_mb: memory for intermediate values, in MB.
        min_frames: a caption with fewer valid frames counts as this long (its padding is used), as the published
            similarity matrices do. With 0 a caption without a frame gets NaN, as in the published ranking losses.
        dtype: precision of the products, e.g. ``torch.bfloat16``; sums are float32 or better. None: that of the maps.

    Returns:
        Similarities (I, S), rows images, columns spoken captions, differentiable; float32 for half precision maps.

    Raises:
        MatchmapError: if the shapes do not fit or the kind is unknown.
    """
    _check(image, speech, nframes, kind, measure)
    frames = _valid_frames(speech, nframes, min_frames)
    if kind in POOLED:
        images, captions = mean_of_images(image, kind, measure), mean_of_captions(speech, frames, kind, measure)
        scores = images.to(dtype or images.dtype) @ captions.to(dtype or captions.dtype).t()
        return _void(scores.to(torch.promote_types(scores.dtype, torch.float32)), nframes, min_frames)
    if measure == "cosine":
        image, speech = F.normalize(image, dim=1), F.normalize(speech, dim=1)
    # Positions in column order, as published: among equal maxima the gradient goes to the first column.
    positions = image.permute(0, 3, 2, 1).flatten(1, 2)
    sequence = speech.transpose(1, 2)
    index = torch.arange(speech.shape[2], device=speech.device)
    if kind == "MISA":
        rows = sequence[index < frames[:, None]]
        return _void(mean_of_max(rows, frames, positions, budget_mb, dtype).t(), nframes, min_frames)
    # Padding repeats the last valid frame, so that the maximum needs no mask.
    repeated = torch.minimum(index, frames[:, None] - 1)
    sequence = sequence.gather(1, repeated[..., None].expand_as(sequence))
    lengths = torch.full((image.shape[0],), positions.shape[1], dtype=torch.int64, device=image.device)
    return _void(mean_of_max(positions.flatten(0, 1), lengths, sequence, budget_mb, dtype), nframes, min_frames)
