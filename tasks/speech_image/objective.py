"""Learn from a batch of a speech-image task: an objective, here ranking losses on the similarity of all pairs.

An objective is a part of the task, chosen in YAML (``objective: {type: ..., ...}``), and may bring networks or buffers
of its own along (:class:`Companion`). Shape letters: B global batch, b batch of this rank, D embedding size, T frames,
H, W image map.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from common import distributed
from config import Deferred
from config.limits import Count
from datasets.spoken_captions.splits import SpeechImageData
from engine.run_folder import RunFolder
from engine.task import Step
from losses import draw_impostors, leave_out_same_image
from models.similarity import Similarity
from models.speech_maps import SpeechMaps
from tasks.speech_image.encode_split import Encode
from tasks.speech_image.images import Batch, ImageSource

log = logging.getLogger(__name__)
RankingLoss = Annotated[Callable[..., Tensor], Deferred("similarity", "impostors")]


class Losses(NamedTuple):
    """Losses () by name, whose sum is minimised, and further numbers for the log."""

    parts: dict[str, Tensor]
    notes: dict[str, Tensor | float]


class Companion(Protocol):
    """State (``modules``, which checkpoints keep), work between epochs, images and report sections of an objective."""

    modules: dict[str, nn.Module]

    def begin_epoch(self, epoch: int) -> None:
        """Do what is due at the start of an ``epoch`` (0-based); the encoders are in their training mode."""

    def shown(self, batch: Batch) -> dict[str, np.ndarray]:
        """Return images (H, W, 3) uint8 of the first pair of the ``batch`` that was last learned from, by name."""

    def report_sections(self, folder: RunFolder) -> list[tuple[str, str]]:
        """Return sections of the report, heading and HTML each, for a run's ``folder`` (called on every rank)."""


class Objective(Protocol):
    """Computes the losses of a batch; its ``companion`` holds its state, None where it has none.

    One whose losses change while it learns may have a method ``changes``, see :class:`Ranking`.
    """

    companion: Companion | None

    def __call__(self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step) -> Losses:
        """Return the losses of a batch and its maps (b, D, H, W) and (b, D, T).

        The step's generator draws random numbers that are the same on every rank.
        """


@dataclass(frozen=True)
class Parts:
    """The parts that a task lends to its objective."""

    data: SpeechImageData  # its splits
    images: ImageSource  # gives the images of a batch
    image_encoder: nn.Module  # images (b, 3, H0, W0) to maps (b, D, H, W)
    caption_encoder: nn.Module  # spoken or written captions to SpeechMaps (b, D, T)
    spoken: bool  # captions are spoken; else written
    similarity: Similarity  # of image maps and speech maps
    encode: Encode  # from a batch and its dataset to image maps and speech maps
    leave_out: bool  # other captions of the same image are no impostors
    device: torch.device  # of all networks
    folder: RunFolder | None  # of the run, or None
    dry_run: bool  # a short trial at a small size

    def scores(self, image: Tensor, speech: SpeechMaps, batch: Batch, similarity: Similarity | None = None) -> Tensor:
        """Return the similarity (B, B) of all images and captions of the global batch, the pairs on the diagonal.

        With ``leave_out`` the scores of pairs that share an image are so low that no loss takes them for impostors.
        """
        return self.without_same_image((similarity or self.similarity).of_all_ranks(image, speech), batch)

    def without_same_image(self, scores: Tensor, batch: Batch) -> Tensor:
        """Lower the scores (B, B) of pairs that share an image with ``leave_out``; else return them as they are."""
        if not self.leave_out:
            return scores
        ids = self.images.image_ids(self.data.train_loader.dataset, batch["index"].tolist())
        return leave_out_same_image(scores, distributed.gather_rows(ids.to(self.device)))


@dataclass(frozen=True)
class Start:
    """Another similarity in the losses of the first epochs; evaluation always uses the task's own.

    From random weights, the regions that MISA takes are chance, and encoders may first make all similarities equal;
    gradients are then small for several epochs. SISA averages over all regions and leaves that start at once.

    Attributes:
        epochs: number of first epochs.
        similarity: in the losses of these epochs.
    """

    epochs: Count
    similarity: Similarity


class Ranking:
    """Ranks true pairs above false ones by losses on the similarity matrix, in both directions.

    Args:
        losses: on the (B, B) similarity; each is used in both directions, and all are added up.
        start: another similarity in the losses of the first epochs (no published system has it); None: the task's from
            the first step on.
        parts: given by the task.
    """

    companion = None

    def __init__(
        self, losses: Annotated[list[RankingLoss], Field(min_length=1)], parts: Parts, start: Start | None = None
    ) -> None:
        self.losses, self.parts, self.start = losses, parts, start
        self._start_ended = False

    def __call__(self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step) -> Losses:
        """Return each loss in each direction; shapes as in :class:`Objective`."""
        first = self.start is not None and step.epoch < self.start.epochs
        if self.start is not None and step.epoch == self.start.epochs and not self._start_ended:
            log.info("from here on losses compare by %s, as evaluation does", self.parts.similarity.kind)
            self._start_ended = True
        scores = self.parts.scores(image, speech, batch, self.start.similarity if first else None)
        values: dict[str, Tensor] = {}
        for direction, matrix in (("image_to_speech", scores), ("speech_to_image", scores.T)):
            impostors = draw_impostors(len(matrix), step.generator).to(matrix.device)
            for loss in self.losses:
                values[f"{loss.target.__name__}_{direction}"] = loss(similarity=matrix, impostors=impostors)
        return Losses(values, {})

    def changes(self, steps_per_epoch: int) -> dict[int, str]:
        """Return the steps after which the losses compare by another similarity, and which."""
        if self.start is None:
            return {}
        before, after = self.start.similarity.kind, self.parts.similarity.kind
        return {self.start.epochs * steps_per_epoch: f"{before} → {after}"}
