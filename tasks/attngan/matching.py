"""Losses of the matching model (DAMSM, arXiv:1711.10485 section 3.2) on a global batch of encoded pairs.

Shape letters: B pairs of the global batch, b of this rank, L words, D embedding size.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from common.distributed import gather_padded, gather_rows
from config.limits import Positive, Weight
from losses import matching_losses
from models.damsm import EncodedImages, EncodedText
from models.word_region_similarity import attention, sentence_scores, word_scores


@dataclass(frozen=True)
class Matching:
    """How captions and images are compared, and what their comparison counts.

    Attributes:
        gamma1: sharpness of the attention of a word to regions (SMOOTH.GAMMA1).
        gamma2: how much the best words count in the score of a caption (GAMMA2).
        gamma3: sharpness of the choice among the pairs of a batch (GAMMA3).
        words: weight of the losses of words and regions.
        sentences: weight of the losses of sentences and whole images.
        same_class: other pairs of the same class are ``left_out``, as published, or an ``impostor`` like all others.
    """

    gamma1: Positive = 4.0
    gamma2: Positive = 5.0
    gamma3: Positive = 10.0
    words: Weight = 1.0
    sentences: Weight = 1.0
    same_class: Literal["left_out", "impostor"] = "left_out"

    def __call__(self, text: EncodedText, image: EncodedImages, classes: Tensor) -> dict[str, Tensor]:
        """Return the losses () ``words`` and ``sentences``, each the sum of both directions; ``classes`` are (b,).

        All ranks together give the losses of one process.
        """
        gathered_text = EncodedText(gather_padded(text.words), gather_rows(text.sentences), gather_rows(text.lengths))
        gathered_image = EncodedImages(gather_rows(image.regions), gather_rows(image.images))
        return self.alone(gathered_text, gathered_image, gather_rows(classes))

    def alone(self, text: EncodedText, image: EncodedImages, classes: Tensor) -> dict[str, Tensor]:
        """Return the same of this rank's pairs alone."""
        own = classes if self.same_class == "left_out" else None
        scores = {
            "words": word_scores(text.words, text.lengths, image.regions, self.gamma1, self.gamma2),
            "sentences": sentence_scores(text.sentences, image.images),
        }
        weights = {"words": self.words, "sentences": self.sentences}
        return {name: weights[name] * sum(matching_losses(one, 1 / self.gamma3, own)) for name, one in scores.items()}

    def attention(self, text: EncodedText, image: EncodedImages) -> Tensor:
        """Return where the words of each caption attend in its own image, (B, L, H, W); 0 behind a caption's end."""
        return attention(text.words, text.lengths, image.regions, self.gamma1)
