"""Generate negatives: a batch's images, edited in the region of highest similarity with their captions.

gan/editing/strategies.py edits until an image has changed enough. This file holds the choices of a config, the maps
that give the region, and the clusters of feature units that give the generator's units.

Shape letters: B global batch, b pairs of this rank, D embedding size, H, W image map, T frames, R pixels high and wide.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from common import distributed
from common.errors import UserError
from engine.run_folder import RunFolder
from engine.task import Step
from gan.editing.regenerate import Negatives, Positives
from gan.editing.regions import BORDER, Heat, at_peaks, heat, resized_region
from gan.editing.strategies import MAX_RETRIES, Share, cluster_edits, cluster_similarities, random_edits
from gan.images import encoder_input, to_uint8
from models.matchmap import matchmaps
from models.speech_maps import SpeechMaps
from tasks.speech_image.images import Batch
from tasks.speech_image.objective import Parts
from tasks.words_by_drawing.cluster_buffers import FoundClusters
from tasks.words_by_drawing.clustering import Clustering, DrawingClusters
from tasks.words_by_drawing.edited_examples import edited_section
from tasks.words_by_drawing.generated_images import GeneratedBatch, GeneratedImages

NOTES = ("change", "retries", "reached")


@dataclass
class NegativeConfig:
    """Rules by which negatives are generated.

    Attributes:
        layers: of the generator, whose units are switched off.
        max_retries: attempts after the first until a negative has changed enough; with 19 cluster edits end as
            published, whose loops have no bound.
        clustering: clusters by which the units are chosen; None: units at random.
        active_learning: selection of edited images whose captions stand below ``active/`` in the data.
        border: cells around the connected region of the strongest cell that are edited too, in all eight directions;
            1 as the public code, 0 for nothing below the threshold.
    """

    layers: Annotated[list[str], Field(min_length=1)]
    max_retries: NonNegativeInt = MAX_RETRIES
    clustering: Clustering | None = None
    active_learning: Path | None = None
    border: NonNegativeInt = BORDER


def edit(
    generator: nn.Module,
    positives: Positives,
    found: Heat,
    maps: Tensor,
    clusters: FoundClusters | None,
    source: torch.Generator,
    *,
    max_retries: int,
    border: int = BORDER,
    share: Share | None = None,
    apart: bool = False,
    probability: float = 0.5,
    probability_step: float = 0.0,
) -> Negatives:
    """Edit images, of ``maps`` (b, D, H, W), where their captions' similarity is highest.

    Clusters choose the units that are switched off; without them each unit is with ``probability``, which may rise by
    ``probability_step`` (:func:`gan.editing.strategies.random_edits`). With ``apart`` row j starts from its j-th
    nearest cluster, for several negatives of one image. Clusters of another model or generator are an EditingError.
    """
    given = {"max_retries": max_retries, "share": share, "border": border}
    if clusters is None:
        steps = {"probability": probability, "probability_step": probability_step}
        return random_edits(generator, positives, found, source, **steps, **given)
    near = cluster_similarities(at_peaks(maps, found.peaks), clusters.centroids, clusters.mean, clusters.std)
    near = one_cluster_each(near) if apart else near
    return cluster_edits(generator, positives, found, near, clusters.units, source, **given)


def one_cluster_each(similarities: Tensor) -> Tensor:
    """Put negative infinity in row j of (b, K) for its j nearest clusters, beginning anew when there are no more."""
    position = similarities.argsort(1, descending=True).argsort(1)
    skipped = torch.arange(len(similarities), device=position.device) % similarities.shape[1]
    return similarities.masked_fill(position < skipped[:, None], -torch.inf)


class EditedNegatives:
    """Edits each image of a batch, and keeps the clusters that choose the units: an objective's companion."""

    def __init__(self, config: NegativeConfig, parts: Parts) -> None:
        if not isinstance(parts.images, GeneratedImages):
            raise UserError(
                "task.images: found null with edited negatives, which are generated; expected the generator, as "
                "{type: tasks.words_by_drawing.GeneratedImages, generator: {...}}"
            )
        self.config, self.parts, self.images = config, parts, parts.images
        self.images.edit(config.layers, config.active_learning)
        self.modules: dict[str, nn.Module] = {}
        self.clusters: DrawingClusters | None = None
        self._last: tuple[Tensor, Tensor] | None = None  # negatives and regions of the last step
        if config.clustering is not None:
            clustering = config.clustering.with_selection(config.active_learning)
            clustering = clustering.for_dry_run() if parts.dry_run else clustering
            self.clusters = DrawingClusters(clustering, parts, self.images)
            self.modules["clusters"] = self.clusters.found

    def begin_epoch(self, epoch: int) -> None:
        """Cluster the feature units anew when it is time."""
        if self.clusters is None or not self.clusters.due(epoch):
            return
        networks = (self.parts.image_encoder, self.parts.caption_encoder, self.clusters.found)
        modes = {module: module.training for module in networks}
        for module in modes:
            module.eval()
        self.clusters.renew(epoch)
        for module, training in modes.items():
            module.train(training)

    def similarity(
        self, image: Tensor, speech: SpeechMaps, batch: Batch, step: Step
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Generate this rank's negatives from its maps (b, D, H, W) and compare them with their captions.

        Returned are the similarities (B,) of each caption of the global batch with its negative, the same on every
        rank, and how far the edits of this rank went, for the log. The step's generator draws the edits.
        """
        generated: GeneratedBatch = batch["generated"]
        negatives = self.negatives(image, speech, generated, step.generator)
        notes = {f"negatives/{name}": getattr(negatives, name).float().mean() for name in NOTES}
        # A caption collected for an edited image has the image before the edit as its negative.
        images = torch.where(generated.active[:, None, None, None], generated.positives.images, negatives.images)
        self._last = images, negatives.measured
        maps = self.parts.image_encoder(encoder_input(images))
        return distributed.gather_rows(self.parts.similarity.aligned(maps, speech)), notes

    @torch.no_grad()
    def negatives(
        self, image: Tensor, speech: SpeechMaps, generated: GeneratedBatch, generator: torch.Generator
    ) -> Negatives:
        """Edit this rank's images in the region of highest similarity with their captions, one negative each.

        ``image`` (b, D, H, W) and ``speech`` (b, D, T) are the maps; ``generator`` draws the same on every rank.
        """
        clusters = None if self.clusters is None else self.clusters.found.get()
        with torch.autocast(image.device.type, enabled=False):
            found = heat(matchmaps(image.float(), speech.features.float()), speech.nframes)
        share = Share(distributed.rank() * len(image), distributed.world_size() * len(image))
        return edit(
            self.images.generator, generated.positives, found, image.float(), clusters, generator,
            max_retries=self.config.max_retries, border=self.config.border, share=share,
        )  # fmt: skip

    def shown(self, batch: Batch) -> dict[str, np.ndarray]:
        """Return the negative of the batch's first image and its region, (R, R, 3) uint8 by their published names."""
        if self._last is None:
            return {}
        images, regions = (values[:1] for values in self._last)
        inside = resized_region(regions, tuple(batch["generated"].images.shape[2:]))[0].cpu().numpy()
        region = np.repeat(255 * inside.astype(np.uint8)[:, :, None], 3, axis=2)
        return {"negative": to_uint8(images[0]).numpy(), "Images/region": region}

    def report_sections(self, folder: RunFolder) -> list[tuple[str, str]]:
        """Return sections (heading, HTML) of edited images, and of the clusters with links to their pages."""
        clusters = [] if self.clusters is None else self.clusters.report(folder)
        return [*edited_section(self.parts, self.images, self.negatives), *clusters]
