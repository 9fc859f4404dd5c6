"""Who says what changes between two images; on the world a segmenter does, so that no person is needed."""

from typing import Protocol

import torch
from torch import Tensor

from evaluation.scene_changes import ChangeThresholds, changes, kind_of
from models.segmenter.network import AttributeSegmenter
from models.segmenter.objects import describe


class Annotator(Protocol):
    """Write what changes, as a person does."""

    name: str

    def annotate(self, before: Tensor, after: Tensor) -> list[tuple[str, str]]:
        """Return the kind of image and the text of each pair of images (B, 3, R, R); "" where nothing changes."""
        ...


class WorldAnnotator:
    """Compare the objects that a segmenter finds: colour, shape, material, number, size, place.

    Args:
        segmenter: of the world's attributes.
        share: of the image's pixels that a label must gain to be named.
        place: of the image's width or height that the objects must move.
        growth: factor by which the largest object must change.
    """

    name = "segmenter"

    def __init__(
        self, segmenter: AttributeSegmenter, share: float = 0.015, place: float = 0.06, growth: float = 1.25
    ) -> None:
        self.segmenter, self.thresholds = segmenter.eval(), ChangeThresholds(share, place, growth)

    @torch.no_grad()
    def annotate(self, before: Tensor, after: Tensor) -> list[tuple[str, str]]:
        """Return the shape of the largest object before, and phrases joined by commas."""
        self.segmenter.to(before.device)
        found = zip(describe(self.segmenter, before), describe(self.segmenter, after), strict=True)
        return [(kind_of(was), ", ".join(changes(was, now, self.thresholds))) for was, now in found]
