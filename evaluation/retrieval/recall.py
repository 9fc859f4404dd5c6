"""Retrieval between images and spoken captions: ranks and recalls, over any number of pairs.

Names follow the published logs (wnhsu/ResDAVEnet-VQ ``calc_recalls``): A_ is the spoken caption found for an image,
I_ the image found for a spoken caption; r1, r5 and r10 are the fractions of queries with a right answer in the first k.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.retrieval.ranks import Direction, RetrievalError, rank_tiles
from models.matchmap import similarity as all_pairs

SimilarityFn = Callable[[Tensor, Tensor, Tensor | None], Tensor]
RECALLS = (1, 5, 10)
CPU_ROWS = 2000  # rows of a matrix with labels looked at together, each a whole row
GPU_TILE = (4096, 4096)


@dataclass(frozen=True)
class Retrieval:
    """Hold both directions of a retrieval."""

    speech: Direction  # spoken captions found for each image (published prefix ``A``)
    image: Direction  # images found for each spoken caption (published prefix ``I``)


def _groups(images: int, captions: int, image_ids: Tensor | None, speech_ids: Tensor | None) -> tuple | None:
    if image_ids is None and speech_ids is None:
        if images != captions:
            raise RetrievalError(
                f"{images} images and {captions} spoken captions are not pairs. Give image_ids and speech_ids, which "
                "say what belongs together."
            )
        if images == 0:
            raise RetrievalError("Nothing to rank: there are no pairs. Check the evaluation split.")
        return None
    if image_ids is None or speech_ids is None:
        raise RetrievalError("Give both image_ids and speech_ids, or neither.")
    if image_ids.shape != (images,) or speech_ids.shape != (captions,) or images * captions == 0:
        raise RetrievalError(
            f"Expected a label for each of {images} images and {captions} spoken captions (at least one each), got "
            f"{tuple(image_ids.shape)} and {tuple(speech_ids.shape)}."
        )
    return image_ids, speech_ids


def _score_type(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


@torch.no_grad()
def ranks(
    similarity: Tensor, image_ids: Tensor | None = None, speech_ids: Tensor | None = None, wrong: bool = True
) -> Retrieval:
    """Return the ranks of the best right answers in a similarity matrix, both ways.

    Args:
        similarity: (I, S), rows images, columns spoken captions, on any device.
        image_ids: integer label of each image (I,); an image and a spoken caption of equal labels belong together, so
            an image may have several captions. None, with ``speech_ids``: image i belongs to caption i.
        speech_ids: integer label of each spoken caption (S,).
        wrong: whether to find the best wrong answers too.

    Raises:
        RetrievalError: labels do not fit, a query has no right answer, or a score is not finite.
    """
    if similarity.dim() != 2:
        raise RetrievalError(f"Expected a similarity matrix (I, S), got {tuple(similarity.shape)}.")
    groups = _groups(*similarity.shape, image_ids, speech_ids)
    dtype = _score_type(similarity)

    def tile(rows: slice, columns: slice) -> Tensor:
        return similarity[rows, columns].to(dtype)

    shape = (similarity.shape[0], similarity.shape[1])
    rows = CPU_ROWS if groups is not None else max(shape[0], 1)
    step = (rows, max(shape[1], 1)) if similarity.device.type == "cpu" else GPU_TILE
    return Retrieval(*rank_tiles(tile, shape, step, groups, wrong, similarity.device, dtype))


@torch.no_grad()
def retrieve(
    image_features: Tensor,
    speech_features: Tensor,
    nframes: Tensor | None = None,
    similarity_fn: SimilarityFn = all_pairs,
    chunk: int = 512,
    image_ids: Tensor | None = None,
    speech_ids: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Retrieval:
    """Return the ranks of the right answers among features, without ever holding a large similarity matrix.

    Memory is that of ``similarity_fn`` on ``chunk`` x ``chunk`` items. Features that fit into one chunk are compared
    once; otherwise chunks with right answers, those on the diagonal, are compared twice. The best wrong answers are
    found too.

    Args:
        image_features: first argument of ``similarity_fn``, e.g. maps (I, D, H, W).
        speech_features: second argument, e.g. maps (S, D, T).
        nframes: third argument, valid frames (S,) or None.
        similarity_fn: gives similarities (i, s) of a chunk of images with a chunk of spoken captions.
        chunk: images and spoken captions compared at a time.
        image_ids: labels (I,), see :func:`ranks`.
        speech_ids: labels (S,).
        device: where to compute, e.g. with features kept on the CPU; None: where the images are.

    Raises:
        RetrievalError: as for :func:`ranks`, or if ``chunk`` is below 1.
    """
    if chunk < 1:
        raise RetrievalError(f"chunk must be at least 1, got {chunk}.")
    groups = _groups(len(image_features), len(speech_features), image_ids, speech_ids)
    target_device = torch.device(device) if device is not None else image_features.device
    dtype = _score_type(image_features)

    def tile(rows: slice, columns: slice) -> Tensor:
        frames = None if nframes is None else nframes[columns].to(target_device)
        images, captions = image_features[rows].to(target_device), speech_features[columns].to(target_device)
        return similarity_fn(images, captions, frames).to(dtype)

    shape = (len(image_features), len(speech_features))
    if max(shape) <= chunk:
        return ranks(tile(slice(None), slice(None)), image_ids, speech_ids)
    return Retrieval(*rank_tiles(tile, shape, (chunk, chunk), groups, True, target_device, dtype))


def _chance(direction: Direction, k: int) -> float:
    """Return the mean expected recall at k of answers in random order, 1 - C(N - m, k) / C(N, k)."""
    total, missed = direction.candidates, 1.0
    matches = direction.matches.double()
    for drawn in range(min(k, total)):
        missed = missed * ((total - matches - drawn) / (total - drawn)).clamp(min=0)
    return float((1 - missed).mean())


def recall_metrics(retrieval: Retrieval) -> dict[str, float]:
    """Return recalls, median and mean ranks as one flat dictionary.

    These are ``A_r1``, ``A_r5``, ``A_r10``, ``I_r1``, ... (0-1), ``median_rank_A``, ``mean_rank_A``, ... (1 is best;
    the lower of two middle ranks), ``recall@1``, ``recall@5``, ``recall@10`` (mean of both ways), ``chance_recall@1``,
    ... (those of a random order) and ``n`` (images). If the number of spoken captions is another one, it is
    ``n_captions``, and ``chance_A_r1``, ... are the two directions' chances.
    """
    metrics: dict[str, float] = {}
    both_ways = {"A": retrieval.speech, "I": retrieval.image}
    for name, direction_ranks in both_ways.items():
        metrics |= {f"{name}_r{k}": float((direction_ranks.rank < k).double().mean()) for k in RECALLS}
        metrics[f"median_rank_{name}"] = float(direction_ranks.rank.median() + 1)
        metrics[f"mean_rank_{name}"] = float(direction_ranks.rank.double().mean() + 1)
    metrics |= {f"recall@{k}": (metrics[f"A_r{k}"] + metrics[f"I_r{k}"]) / 2 for k in RECALLS}
    metrics |= {
        f"chance_recall@{k}": sum(_chance(direction_ranks, k) for direction_ranks in both_ways.values()) / 2
        for k in RECALLS
    }
    metrics["n"] = float(len(retrieval.speech.rank))
    if len(retrieval.image.rank) != len(retrieval.speech.rank):
        metrics |= {
            f"chance_{name}_r{k}": _chance(direction_ranks, k)
            for name, direction_ranks in both_ways.items()
            for k in RECALLS
        }
        metrics["n_captions"] = float(len(retrieval.image.rank))
    return metrics


def recalls_from_matrix(similarity: Tensor) -> dict[str, float]:
    """Return the metrics of a similarity matrix (n, n) of images and captions whose diagonal holds the matches."""
    return recall_metrics(ranks(similarity, wrong=False))
