"""The comparison of images and spoken captions, as a group of a task's config."""

from dataclasses import dataclass

import torch
from torch import Tensor

from common import distributed
from config.limits import Positive
from models.matchmap import POOLED, Kind, Measure, aligned_similarity, mean_of_captions, mean_of_images, similarity
from models.speech_maps import SpeechMaps

PUBLISHED_MINING: dict[str, str] = {"kind": "MISA", "measure": "dot"}  # of hard impostors, whatever the loss compares


@dataclass
class Similarity:
    """Similarity, one number, of the maps of an image and of a spoken caption.

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

    def aligned(self, image: Tensor, speech: SpeechMaps) -> Tensor:
        """Return the similarity (B,) of each pair of aligned maps (B, D, H, W) and (B, D, T), in float32."""
        with torch.autocast(image.device.type, enabled=False):
            return aligned_similarity(image.float(), speech.features.float(), speech.nframes, self.kind, self.measure)

    @torch.no_grad()
    def embeddings(self, image: Tensor, speech: Tensor, nframes: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the mean embeddings (I, D) and (S, D) of a whole split, whose products are the similarities.

        None where the maps themselves, (I, D, H, W) and (S, D, T), are compared (MISA, SIMA). Fewer than 1 valid frame
        (``nframes``, (S,)) counts as 1.
        """
        if self.kind not in POOLED:
            return None
        kind = (self.kind, self.measure)
        images = [mean_of_images(part, *kind) for part in image.split(16)]
        # One by one, so that no padding is read: less memory traffic than a mask over all.
        valid = zip(speech, nframes.clamp(1, speech.shape[2]).tolist(), strict=True)
        captions = [mean_of_captions(one[None, :, :frames], None, *kind) for one, frames in valid]
        return torch.cat(images), torch.cat(captions)

    def of_all_ranks(self, image: Tensor, speech: SpeechMaps) -> Tensor:
        """Return the similarities (B, B) of the global batch on every rank, differentiable into every rank's maps.

        ``image`` (b, D, H, W) and ``speech`` (b, D, T) are this rank's; T may differ between ranks.
        """
        features = distributed.gather_padded(speech.features)
        nframes = distributed.gather_rows(speech.nframes)
        return distributed.gather_rows(self(image, features, nframes))
