"""The protocol of a segmenter, and the 18 labels of the CLEVR attribute segmenter.

The labels and their order are those of surisdi/learning-by-drawing ``segmenter.py`` (GroundTruthSegmenter): 0-1 size,
2-3 material, 4-7 shape, 8-15 colour, 16 background, 17 foreground. The published network has room for a fourth shape
that its data does not use. Shape letters: B images, L labels, R pixels high and wide of the image, H, W of the label
map.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from common.errors import UserError


class SegmentationError(UserError, ValueError):
    """A segmenter was given images, scores or labels that do not fit."""


@runtime_checkable
class Segmenter(Protocol):
    """Says of each pixel which labels it has; several may hold at once, or none."""

    # L names, all different. There is no entry for "no label": the published lists have one in front, so that their
    # label ``k + 1`` is our label ``k``
    labels: list[str]
    categories: list[str]  # L names, the kind of each label ("colour", "shape", ..., or "cluster")

    def segment(self, images: Tensor) -> Tensor:
        """Return labels ``(B, L, H, W)`` bool, on their device, of images ``(B, 3, R, R)`` float RGB in [-1, 1].

        No gradient is kept; values beyond are allowed, as generators return them. H and W are the segmenter's own (the
        image's for attributes, 64 for clusters): whoever compares maps brings them to one size.
        """
        ...


def ready_segmenter(segmenter: Segmenter, device: torch.device) -> Segmenter:
    """Put a segmenter that is a network on a device, in evaluation mode; others need nothing.

    Another network ends in a SegmentationError.
    """
    missing = [name for name in ("labels", "categories", "segment") if not hasattr(segmenter, name)]
    if missing:
        raise SegmentationError(
            f"{type(segmenter).__name__} is no segmenter, it has no {', '.join(missing)}; expected one, such as "
            "models.segmenter.file.load_segmenter gives: check segmenter"
        )
    if isinstance(segmenter, nn.Module):
        segmenter.to(device).eval()
    return segmenter


class Group(NamedTuple):
    """Labels of which a pixel of an object has exactly one."""

    name: str  # "size", "material", "shape", "colour" or "ground"
    first: int  # its first channel
    labels: tuple[str, ...]  # names in the order of the channels

    @property
    def channels(self) -> slice:
        """Its channels among the 18."""
        return slice(self.first, self.first + len(self.labels))


UNUSED_SHAPE = "other shape"
GROUPS = (
    Group("size", 0, ("large", "small")),
    Group("material", 2, ("rubber", "metal")),
    Group("shape", 4, ("cube", "sphere", "cylinder", UNUSED_SHAPE)),
    Group("colour", 8, ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")),
    Group("ground", 16, ("background", "foreground")),
)
ATTRIBUTE_GROUPS = GROUPS[:4]  # what only objects have
ATTRIBUTE_LABELS = [label for group in GROUPS for label in group.labels]
ATTRIBUTE_CATEGORIES = [group.name for group in GROUPS for _ in group.labels]
BACKGROUND, FOREGROUND = 16, 17


def check_scores(scores: Tensor) -> None:
    """Raise a SegmentationError for anything but scores ``(B, 18, H, W)``, one channel for each label."""
    if scores.dim() != 4 or scores.shape[1] != len(ATTRIBUTE_LABELS):
        raise SegmentationError(
            f"scores of shape {tuple(scores.shape)}; expected (B, {len(ATTRIBUTE_LABELS)}, H, W), one channel per label"
        )


def attribute_labels(scores: Tensor) -> Tensor:
    """Choose one label in each group as published: the largest score in the group, on the foreground only.

    Scores ``(B, 18, H, W)`` are logits or probabilities; a softmax over all channels does not change the choice. The
    result ``(B, 5, H, W)`` int64 holds for each of `GROUPS` the number of the label in its group counted from 1, 0 on
    the background; of the last, "ground", 1 on the foreground.
    """
    check_scores(scores)
    foreground = scores[:, GROUPS[-1].channels].argmax(1)
    chosen = [(scores[:, group.channels].argmax(1) + 1) * foreground for group in ATTRIBUTE_GROUPS]
    return torch.stack([*chosen, foreground], 1)


def label_maps(numbers: Tensor) -> Tensor:
    """Return the choice of `attribute_labels` as one map per label, ``(B, 18, H, W)`` bool; background is 16 alone."""
    maps = [
        torch.stack([numbers[:, row] == k for k in range(1, len(group.labels) + 1)], 1)
        for row, group in enumerate(ATTRIBUTE_GROUPS)
    ]
    foreground = numbers[:, -1:] > 0
    return torch.cat([*maps, ~foreground, foreground], 1)


def check_images(images: Tensor) -> None:
    """Raise a SegmentationError for anything but a batch ``(B, 3, H, W)`` of float RGB images in [-1, 1]."""
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise SegmentationError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}; expected (B, 3, R, R) floats in [-1, 1]"
        )
