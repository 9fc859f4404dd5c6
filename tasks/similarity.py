"""How pictures and spoken captions are compared, as a group of a task's config."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.matchmap import Kind, Measure, similarity


@dataclass
class Similarity:
    """How the maps of a picture and of a spoken caption become one number.

    Attributes:
        kind: MISA (best region for each moment), SISA, SIMA, or pooled.
        measure: dot product or cosine.
        budget_mb: memory for intermediate values, in MB.
    """

    kind: Kind = "MISA"
    measure: Measure = "dot"
    budget_mb: float = 512

    def __call__(self, image: Tensor, speech: Tensor, nframes: Tensor) -> Tensor:
        """Return the similarity (I, S) of maps (I, D, H, W) and (S, D, T); products keep the maps' precision."""
        with torch.autocast(image.device.type, enabled=False):
            return similarity(image, speech, nframes, self.kind, self.measure, self.budget_mb)
