"""Ranking losses on similarity matrices.

The first argument is a similarity matrix (B, B): rows are queries, column i is the match of row i. Every loss is a
mean over rows and goes one way, from rows to columns; the other way is the same loss of ``similarity.T``. System 1's
losses go both ways at once, as published, and take image rows and speech columns.

One file for all of them, longer than others here but flat: pure functions of a line to five of arithmetic, in four
groups that only look upwards. Similarity is in models/matchmap.py, the drawing of impostors in
tasks/speech_image/impostors.py.

Sources: wnhsu/ResDAVEnet-VQ ``steps/util.py`` (sampled and semi-hard triplets, arXiv:1911.09602) and
surisdi/learning-by-drawing ``losses.py`` (hard and edited negatives).
"""

from typing import Literal

import torch
from torch import Tensor

from common.errors import UserError
from config.limits import Positive, Weight


class LossError(UserError, ValueError):
    """A batch on which a ranking loss is not defined."""


# -- what the losses are made of -------------------------------------------------------------------------------


def _positives(similarity: Tensor) -> Tensor:
    """The matches' similarities (B,), after checking that there are impostors to compare them with."""
    if similarity.dim() != 2 or similarity.shape[0] != similarity.shape[1]:
        raise LossError(
            f"Expected a square similarity matrix (B, B), got {tuple(similarity.shape)}. "
            "Compare each image of the batch with each spoken caption of the same batch."
        )
    if similarity.shape[0] < 2:
        raise LossError(
            f"A ranking loss needs at least 2 pairs, got {similarity.shape[0]}: there is no impostor. "
            "Raise the batch size, or drop the last incomplete batch."
        )
    return similarity.diagonal()


def _picked(similarity: Tensor, imposters: Tensor) -> Tensor:
    """Entry ``imposters[i]`` of each row i (B,)."""
    if imposters.shape != similarity.shape[:1]:
        raise LossError(f"Expected one impostor per row, ({len(similarity)},), got {tuple(imposters.shape)}.")
    return similarity.gather(1, imposters.to(similarity.device, torch.int64)[:, None]).squeeze(1)


def _others(similarity: Tensor) -> Tensor:
    """The matrix with -inf on the diagonal."""
    own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    return similarity.masked_fill(own, -torch.inf)


def hinge(positives: Tensor, imposters: Tensor, margin: float) -> Tensor:
    """Return the mean of max(0, imposter - positive + margin), the building block of the losses below.

    With :func:`models.matchmap.aligned_similarity` it gives the sampled losses in time linear in B.

    Args:
        positives: similarities of matching pairs (B,).
        imposters: similarities of mismatched pairs (B,).
        margin: how much better a match must be, in units of similarity.

    Returns:
        Loss ().
    """
    return (imposters - positives + margin).relu().mean()


def hardest(similarity: Tensor) -> Tensor:
    """Return the best other column of each row, the lowest among equals.

    Args:
        similarity: (B, B).

    Returns:
        Indices (B,) int64.

    Raises:
        LossError: if B is below 2 or the matrix is not square.
    """
    _positives(similarity)
    return _others(similarity.detach()).argmax(dim=1)


# -- one way: from rows to columns -----------------------------------------------------------------------------


def sampled_triplet(similarity: Tensor, imposters: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge against one given impostor per row.

    Args:
        similarity: (B, B).
        imposters: column of each row's impostor (B,) int64, drawn by the task.
        margin: how much better a match must be.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or a shape does not fit.
    """
    return hinge(_positives(similarity), _picked(similarity, imposters), margin)


def semi_hard_triplet(
    similarity: Tensor, margin: Weight = 1.0, masking: Literal["published", "proper"] = "published"
) -> Tensor:
    """Return the mean hinge against the best impostor that is still worse than the match.

    Args:
        similarity: (B, B).
        margin: how much better a match must be.
        masking: ``published`` counts entries that are not eligible as similarity 0, so that a row whose eligible
            entries are all negative, or that has none, meets an impostor of score 0. ``proper`` leaves them out; a row
            without an eligible impostor adds 0.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2, a shape does not fit or the masking is unknown.
    """
    positives = _positives(similarity)
    eligible = similarity < positives[:, None]
    if masking == "published":
        return hinge(positives, (similarity * eligible).max(dim=1).values, margin)
    if masking != "proper":
        raise LossError(f"Unknown masking {masking!r}: use 'published' or 'proper'.")
    best = similarity.masked_fill(~eligible, -torch.inf).max(dim=1).values
    return hinge(positives, best, margin)


def hard_triplet(similarity: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge against the best impostor of each row.

    Args:
        similarity: (B, B).
        margin: how much better a match must be.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or the matrix is not square.
    """
    return sampled_triplet(similarity, hardest(similarity), margin)


def margin_triplet(similarity: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge against all B - 1 impostors of each row.

    Args:
        similarity: (B, B).
        margin: how much better a match must be.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or the matrix is not square.
    """
    losses = (_others(similarity) - _positives(similarity)[:, None] + margin).relu()
    return losses.sum() / (len(losses) * (len(losses) - 1))


def masked_margin_softmax(similarity: Tensor, margin: Weight = 0.0, temperature: Positive = 1.0) -> Tensor:
    """Return the cross-entropy of the match against all B - 1 impostors of each row, the match lowered by a margin.

    With margin 0 it is InfoNCE (arXiv:1807.03748); masked margin softmax is Ilharco et al., arXiv:1909.08782, where the
    margin grows during training. Every impostor pulls from the first step on, the near ones most.

    Args:
        similarity: (B, B).
        margin: what is taken off the match before the softmax.
        temperature: similarities are divided by it.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2, the matrix is not square, or the temperature is not positive.
    """
    if temperature <= 0:
        raise LossError(f"The temperature is {temperature}, expected a positive number, e.g. 1 or 0.07.")
    positives = _positives(similarity)
    logits = (similarity - torch.diag_embed(torch.full_like(positives, margin))) / temperature
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


# -- both ways at once: system 1 -------------------------------------------------------------------------------


def sampled_margin_rank(
    similarity: Tensor, image_imposters: Tensor, speech_imposters: Tensor, margin: Weight = 1.0
) -> Tensor:
    """Return the hinges against a sampled image and a sampled spoken caption of each pair, summed.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        image_imposters: impostor image of each spoken caption (B,) int64.
        speech_imposters: impostor spoken caption of each image (B,) int64.
        margin: how much better a match must be.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or a shape does not fit.
    """
    return sampled_triplet(similarity, speech_imposters, margin) + sampled_triplet(
        similarity.T, image_imposters, margin
    )


def hard_negative(similarity: Tensor, margin: Weight = 1.0, mining: Tensor | None = None) -> Tensor:
    """Return the hinges against the best impostor image and the best impostor spoken caption of each pair, summed.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        margin: how much better a match must be.
        mining: matrix (B, B) that chooses the impostors. None: ``similarity`` itself. As published it is the MISA
            matrix with the dot product, also where the loss uses cosine.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or a matrix is not square.
    """
    mining = similarity if mining is None else mining
    return sampled_margin_rank(similarity, hardest(mining.T), hardest(mining), margin)


# -- against edited images: system 1 ---------------------------------------------------------------------------


def edited_negatives_each(positives: Tensor, edited: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return margin + edited - positive for each pair, without the hinge (the published vectorised form).

    Args:
        positives: similarity of each pair (B,), or the matrix (B, B) whose diagonal it is.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        margin: how much better a match must be.

    Returns:
        Differences (B,).

    Raises:
        LossError: if the shapes do not fit.
    """
    positives = positives.diagonal() if positives.dim() == 2 else positives
    if positives.shape != edited.shape or edited.dim() != 1:
        raise LossError(
            f"Expected one similarity per pair, twice (B,), got {tuple(positives.shape)} and {tuple(edited.shape)}. "
            "Edit one image for each pair of the batch."
        )
    return margin + edited - positives


def edited_negatives(positives: Tensor, edited: Tensor, margin: Weight = 1.0) -> Tensor:
    """Return the mean hinge of each pair against its own edited image; works for a single pair.

    Args:
        positives: similarity of each pair (B,), or the matrix (B, B) whose diagonal it is.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        margin: how much better a match must be.

    Returns:
        Loss ().

    Raises:
        LossError: if the shapes do not fit.
    """
    return edited_negatives_each(positives, edited, margin).relu().mean()


def edited_and_sampled(
    similarity: Tensor, edited: Tensor, image_imposters: Tensor, speech_imposters: Tensor, margin: Weight = 1.0
) -> Tensor:
    """Return sampled_margin_rank with the better of sampled and edited image as impostor image.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        image_imposters: impostor image of each spoken caption (B,) int64.
        speech_imposters: impostor spoken caption of each image (B,) int64.
        margin: how much better a match must be.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or a shape does not fit.
    """
    positives = _positives(similarity)
    sampled = margin + _picked(similarity.T, image_imposters) - positives
    worst = torch.maximum(sampled, edited_negatives_each(positives, edited, margin))
    return sampled_triplet(similarity, speech_imposters, margin) + worst.relu().mean()


def edited_and_hard(similarity: Tensor, edited: Tensor, margin: Weight = 1.0, mining: Tensor | None = None) -> Tensor:
    """Return hard_negative with the better of hard and edited image as impostor image.

    Args:
        similarity: (B, B), rows images, columns spoken captions.
        edited: similarity of each spoken caption with the edited image of its pair (B,).
        margin: how much better a match must be.
        mining: matrix that chooses the impostors, see :func:`hard_negative`.

    Returns:
        Loss ().

    Raises:
        LossError: if B is below 2 or a shape does not fit.
    """
    mining = similarity if mining is None else mining
    return edited_and_sampled(similarity, edited, hardest(mining.T), hardest(mining), margin)
