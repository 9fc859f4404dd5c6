"""Learn by the published losses of system 1: a sampled impostor, with it edited images, hard impostors, or the harder.

"Learning Words by Drawing Images" (CVPR 2019, Suris et al.); public code surisdi/learning-by-drawing ``trainer.py`` and
``losses.py``; there the key ``loss_type`` chooses. ``python run.py -f words_by_drawing/train_random.yaml`` (and
train_clusters, train_regular, train_both).

Shape letters: B global batch, b batch of this rank, D embedding size, T frames, H, W image map.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from config import Problem
from config.limits import Positive, Weight
from engine.task import Step
from losses import (
    draw_impostors,
    edited_and_hard,
    edited_negatives,
    hard_negative,
    masked_margin_softmax,
    sampled_margin_rank,
)
from models.similarity import PUBLISHED_MINING
from models.speech_maps import SpeechMaps
from tasks.speech_image.images import Batch
from tasks.speech_image.objective import Losses, Parts
from tasks.words_by_drawing.negatives import EditedNegatives, NegativeConfig

Mining = Literal["configured", "published"]
Impostors = Literal["sampled", "all"]


class Regular:
    """Ranks a pair above a sampled impostor each way (``loss_type`` regular).

    Args:
        parts: given by the task.
        margin: amount by which a match must be better, in units of similarity.
        impostors: of a pair: one ``sampled`` impostor each way, as published, or ``all`` of the batch by masked margin
            softmax, from which small encoders learn at once and which a sampled impostor makes them forget.
    """

    companion = None

    def __init__(self, parts: Parts, margin: Weight = 1.0, impostors: Impostors = "sampled") -> None:
        self.parts, self.margin, self.impostors = parts, margin, impostors

    def __call__(self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step) -> Losses:
        """Return the part ``regular``."""
        scores = self.parts.scores(image, speech, batch)
        return Losses({"regular": regular_loss(scores, self.margin, self.impostors, step.generator)}, {})


class Hard:
    """Ranks a pair above a sampled impostor and above the hardest one of the batch (``loss_type`` negatives_hard).

    Args:
        parts: given by the task.
        margin: amount by which a match must be better, in units of similarity.
        impostors: of the regular part, see :class:`Regular`.
        mining: similarity that finds the hardest impostors: the ``configured`` one, or, as ``published``, MISA with the
            dot product whatever the task's ``similarity`` says.
    """

    companion = None

    def __init__(
        self, parts: Parts, margin: Weight = 1.0, impostors: Impostors = "sampled", mining: Mining = "configured"
    ) -> None:
        self.parts, self.margin, self.impostors, self.mining = parts, margin, impostors, mining

    def __call__(self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step) -> Losses:
        """Return the parts ``regular`` and ``hard``."""
        scores = self.parts.scores(image, speech, batch)
        regular = regular_loss(scores, self.margin, self.impostors, step.generator)
        hard = hard_negative(scores, self.margin, mined(self.parts, self.mining, image, speech, batch))
        return Losses({"regular": regular, "hard": hard}, {})


class Edited:
    """Ranks a pair above a sampled impostor and above its edited image (``loss_type`` negatives_edited).

    Args:
        negatives: rules by which images are edited.
        parts: given by the task; its images are generated.
        margin: amount by which a match must be better, in units of similarity.
        impostors: of the regular part, see :class:`Regular`.
    """

    module_names = ("clusters",)

    def __init__(
        self, negatives: NegativeConfig, parts: Parts, margin: Weight = 1.0, impostors: Impostors = "sampled"
    ) -> None:
        self.parts, self.margin, self.impostors = parts, margin, impostors
        self.companion = EditedNegatives(negatives, parts)

    @staticmethod
    def validate_with_siblings(images: Any) -> Iterator[Problem]:
        """Yield the error of edited negatives whose images are read from files (``images`` is None)."""
        if images is None:
            yield "images", "found null with edited negatives; expected the generator, as in words_by_drawing/base.yaml"

    def __call__(self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step) -> Losses:
        """Return the parts ``regular`` and ``edited``."""
        scores = self.parts.scores(image, speech, batch)
        regular = regular_loss(scores, self.margin, self.impostors, step.generator)
        similarity, notes = self.companion.similarity(image, speech, batch, step)
        return Losses({"regular": regular, "edited": edited_negatives(scores, similarity, self.margin)}, notes)


class EditedOrHard:
    """Ranks a pair above a sampled impostor and above the harder of edited image and hardest impostor of the batch.

    The published ``loss_type`` negatives_both.

    Args:
        negatives: rules by which images are edited.
        parts: given by the task; its images are generated.
        margin: amount by which a match must be better, in units of similarity.
        impostors: of the regular part, see :class:`Regular`.
        mining: of the hardest impostors, see :class:`Hard`.
        largest_loss: at which each of the two sums of hinges is cut; there is no gradient beyond, as published. None:
            no such bound. The regular part with ``all`` impostors is not cut.
    """

    module_names = ("clusters",)
    validate_with_siblings = staticmethod(Edited.validate_with_siblings)

    def __init__(
        self,
        negatives: NegativeConfig,
        parts: Parts,
        margin: Weight = 1.0,
        impostors: Impostors = "sampled",
        mining: Mining = "configured",
        largest_loss: Positive | None = 5.0,
    ) -> None:
        self.parts, self.margin, self.impostors, self.mining = parts, margin, impostors, mining
        self.largest_loss = largest_loss
        self.companion = EditedNegatives(negatives, parts)

    def __call__(self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step) -> Losses:
        """Return the parts ``regular`` and ``edited_or_hard``."""
        scores = self.parts.scores(image, speech, batch)
        regular = regular_loss(scores, self.margin, self.impostors, step.generator)
        similarity, notes = self.companion.similarity(image, speech, batch, step)
        harder = edited_and_hard(scores, similarity, self.margin, mined(self.parts, self.mining, image, speech, batch))
        if self.largest_loss is not None:
            harder = harder.clamp(max=self.largest_loss)
            regular = regular.clamp(max=self.largest_loss) if self.impostors == "sampled" else regular
        return Losses({"regular": regular, "edited_or_hard": harder}, notes)


def regular_loss(scores: Tensor, margin: float, impostors: Impostors, generator: torch.Generator) -> Tensor:
    """Compare pairs on the diagonal of ``scores`` (B, B) with impostors both ways: one ``sampled`` each, or ``all``."""
    if impostors == "all":
        return masked_margin_softmax(scores, margin) + masked_margin_softmax(scores.T, margin)
    sampled = [draw_impostors(len(scores), generator).to(scores.device) for _ in range(2)]
    return sampled_margin_rank(scores, *sampled, margin)


@torch.no_grad()
def mined(parts: Parts, mining: Mining, image: Tensor, speech: SpeechMaps, batch: Batch) -> Tensor | None:
    """Return the matrix (B, B) that chooses the hardest impostors; None: the one that the loss compares."""
    if mining == "configured":
        return None
    return parts.scores(image.detach(), speech, batch, replace(parts.similarity, **PUBLISHED_MINING))
