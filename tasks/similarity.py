"""How pictures and spoken captions are compared, as a group of a task's config."""

from dataclasses import dataclass

import torch
from torch import Tensor

from config.limits import Positive
from engine import distributed
from models.matchmap import Kind, Measure, similarity
from models.speech_maps import SpeechMaps

PUBLISHED_MINING: dict[str, str] = {"kind": "MISA", "measure": "dot"}  # of hard impostors, whatever the loss compares


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
    budget_mb: Positive = 512

    def __call__(self, image: Tensor, speech: Tensor, nframes: Tensor) -> Tensor:
        """Return the similarity (I, S) of maps (I, D, H, W) and (S, D, T); products keep the maps' precision."""
        with torch.autocast(image.device.type, enabled=False):
            return similarity(image, speech, nframes, self.kind, self.measure, self.budget_mb)

    def of_all_ranks(self, image: Tensor, speech: SpeechMaps) -> Tensor:
        """Compare this rank's pictures with every rank's captions and gather the rows.

        Args:
            image: maps of this rank's pictures (b, D, H, W).
            speech: maps of this rank's captions (b, D, T); T may differ between ranks.

        Returns:
            (B, B) of the global batch, the same on every rank, differentiable into every rank's maps.
        """
        features = distributed.gather_padded(speech.features)
        nframes = distributed.gather_rows(speech.nframes)
        return distributed.gather_rows(self(image, features, nframes))
