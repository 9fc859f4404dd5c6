"""Judges of generated images: matching models that embed captions and images in one space.

The matching model that trained a generator is no fair judge of it: the generator was taught to please it. A second one
of another seed, which the generator never saw, is asked beside it.

Shape letters: B captions or images, D embedding size, R resolution.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from datasets.text_image.vocabulary import VocabularyError
from tasks.attngan.trained import IMAGE, TEXT, TextImageSource, Trained, load

log = logging.getLogger(__name__)
CAPTIONS_AT_ONCE = 256


class Judge:
    """Embed captions and images by a trained matching model.

    Args:
        name: of the judge, for messages.
        trained: its text and image encoder.
        device: of both.
    """

    def __init__(self, name: str, trained: Trained, device: torch.device) -> None:
        self.name, self.words, self.digest, self.device = name, trained.words, trained.digest, device
        self.text, self.image = (trained.networks[key].to(device).requires_grad_(False) for key in (TEXT, IMAGE))

    @torch.inference_mode()
    def images(self, images: Tensor) -> np.ndarray:
        """Return embeddings (B, D) of images (B, 3, R, R) uint8."""
        return self.image(images.to(self.device).float().div(127.5).sub(1)).images.float().cpu().numpy()

    @torch.inference_mode()
    def sentences(self, captions: Sequence[str]) -> np.ndarray:
        """Return embeddings (B, D) of captions; a UserError names one without any word that the judge knows.

        Words that it does not know are left out, counted and said once.
        """
        rows, unknown = [], Counter()
        for first in range(0, len(captions), CAPTIONS_AT_ONCE):
            try:
                tokens = self.words.tokens(captions[first : first + CAPTIONS_AT_ONCE])
            except VocabularyError as error:
                raise UserError(f"the judge {self.name} cannot read a caption: {error}") from error
            unknown.update(word for words in tokens.unknown for word in words)
            rows.append(self.text(tokens.numbers.to(self.device), tokens.lengths.to(self.device)).sentences)
        if unknown:
            some = ", ".join(word for word, _ in unknown.most_common(3))
            log.warning(
                "judges.%s does not know %d words of %d captions, such as %s: they are left out",
                self.name, unknown.total(), len(captions), some,
            )  # fmt: skip
        return torch.cat(rows).float().cpu().numpy()


def load_judges(sources: Mapping[str, TextImageSource], device: torch.device) -> list[Judge]:
    """Load judges by their names; a UserError names two that are the same, or one that cannot be loaded."""
    judges = [Judge(name, load(source, (TEXT, IMAGE)), device) for name, source in sources.items()]
    named: dict[str, str] = {}
    for judge in judges:
        if judge.digest in named:
            raise UserError(
                f"judges.{named[judge.digest]} and judges.{judge.name} have equal weights; expected different ones, "
                "such as those of another seed, of which one is independent"
            )
        named[judge.digest] = judge.name
    return judges
