"""How images and spoken captions are compared, as a group of a task's config."""

from dataclasses import dataclass

import torch
from torch import Tensor

from common import distributed
from config.limits import Positive
from models.matchmap import POOLED, Kind, Measure, mean_of_captions, mean_of_images, similarity
from models.speech_maps import SpeechMaps

PUBLISHED_MINING: dict[str, str] = {"kind": "MISA", "measure": "dot"}  # of hard impostors, whatever the loss compares


@dataclass
class Similarity:
    """How the maps of an image and of a spoken caption become one number.

    Attributes:
        kind: MISA (best region for each frame), SISA, SIMA, or pooled.
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

    @torch.no_grad()
    def embeddings(self, image: Tensor, speech: Tensor, nframes: Tensor) -> tuple[Tensor, Tensor] | None:
        """Pool the maps of a whole split once, where the similarity is the product of mean embeddings.

        Args:
            image: maps (I, D, H, W).
            speech: maps (S, D, T).
            nframes: valid frames (S,); fewer than 1 counts as 1.

        Returns:
            Mean embeddings (I, D) and (S, D), whose products are the similarities; None where the maps themselves are
            compared (MISA, SIMA).
        """
        if self.kind not in POOLED:
            return None
        how = (self.kind, self.measure)
        images = [mean_of_images(part, *how) for part in image.split(16)]
        # One by one, so that no padding is read: less memory traffic than a mask over all.
        valid = zip(speech, nframes.clamp(1, speech.shape[2]).tolist(), strict=True)
        captions = [mean_of_captions(one[None, :, :frames], None, *how) for one, frames in valid]
        return torch.cat(images), torch.cat(captions)

    def of_all_ranks(self, image: Tensor, speech: SpeechMaps) -> Tensor:
        """Compare this rank's images with every rank's captions and gather the rows.

        Args:
            image: maps of this rank's images (b, D, H, W).
            speech: maps of this rank's captions (b, D, T); T may differ between ranks.

        Returns:
            (B, B) of the global batch, the same on every rank, differentiable into every rank's maps.
        """
        features = distributed.gather_padded(speech.features)
        nframes = distributed.gather_rows(speech.nframes)
        return distributed.gather_rows(self(image, features, nframes))
