"""Who says to which degree an image shows a concept. Shape letters: B images, R pixels high and wide, L labels."""

from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import Tensor

from models.presence import PresenceClassifier
from models.segmenter.labels import Segmenter, ready_segmenter

Least = Annotated[float, Field(gt=0, le=1)]


class ConceptJudge(Protocol):
    """Give each image a degree of every label."""

    labels: list[str]  # L
    categories: list[str]  # L, the kind of each
    least: float  # by which a degree must grow

    def degrees(self, images: Tensor) -> Tensor:
        """Return (B, L) in 0-1, on the CPU, of images (B, 3, R, R)."""
        ...


class SegmenterJudge:
    """Count the share of an image's pixels that have a label.

    Args:
        segmenter: of pixels.
        least: share of the pixels by which a label must grow.
    """

    def __init__(self, segmenter: Segmenter, least: Least = 0.015) -> None:
        self.segmenter, self.least = segmenter, least
        grounds = {"ground"}
        self._kept = [n for n, kind in enumerate(segmenter.categories) if kind not in grounds]
        self.labels = [segmenter.labels[n] for n in self._kept]
        self.categories = [segmenter.categories[n] for n in self._kept]

    @torch.no_grad()
    def degrees(self, images: Tensor) -> Tensor:
        """Return shares of pixels (B, L)."""
        segmenter = ready_segmenter(self.segmenter, images.device)
        return segmenter.segment(images).float().mean(dim=(2, 3))[:, self._kept].cpu()


class ClassifierJudge:
    """Ask a classifier of whole images, which was trained apart from the segmenter.

    Args:
        classifier: of whole images.
        least: probability by which a label must grow.
    """

    def __init__(self, classifier: PresenceClassifier, least: Least = 0.25) -> None:
        self.classifier, self.least = classifier, least
        self.labels, self.categories = classifier.labels, classifier.categories

    @torch.no_grad()
    def degrees(self, images: Tensor) -> Tensor:
        """Return probabilities (B, L)."""
        return self.classifier.to(images.device).eval()(images).sigmoid().cpu()


def class_by(judge: ConceptJudge, degrees: Tensor, kind: str) -> list[str]:
    """Return the strongest label of a kind in each image, "" where all degrees (B, L) of the kind are 0."""
    columns = [number for number, one in enumerate(judge.categories) if one == kind]
    if not columns:
        return [""] * len(degrees)
    best = degrees[:, columns].max(dim=1)
    return [judge.labels[columns[n]] if value > 0 else "" for n, value in zip(best.indices, best.values, strict=True)]
