"""Negatives that the task draws: its pictures, edited where their captions' answers are strongest.

What is edited and until when is in gan/editing/strategies.py; here are the choices of a config, and the maps that say
where.

Shape letters: b pairs of this rank, D embedding size, H, W image map, T frames.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn

from common import distributed
from gan.editing.regenerate import Negatives
from gan.editing.regions import BORDER, at_peaks, heat
from gan.editing.strategies import MAX_RETRIES, Share, cluster_edits, cluster_similarities, random_edits
from models.matchmap import matchmaps
from models.speech_maps import SpeechMaps
from tasks.words_by_drawing.cluster_buffers import FoundClusters
from tasks.words_by_drawing.clustering import Clustering
from tasks.words_by_drawing.generated_images import Drawn


@dataclass
class Editing:
    """How negatives are drawn.

    Attributes:
        layers: of the generator, whose units are switched off.
        max_retries: attempts after the first until a negative has changed enough; with 19 cluster edits end as
            published, whose loops have no bound.
        clustering: choose the units by clusters; None: at random.
        active_learning: selection of edited pictures whose captions stand below ``active/`` in the data.
        border: cells around the connected region of the strongest cell that are edited too, in all eight directions;
            1 as the public code, 0 for nothing below the threshold.
    """

    layers: Annotated[list[str], Field(min_length=1)]
    max_retries: NonNegativeInt = MAX_RETRIES
    clustering: Clustering | None = None
    active_learning: Path | None = None
    border: NonNegativeInt = BORDER

    @torch.no_grad()
    def negatives(
        self,
        model: nn.Module,
        drawn: Drawn,
        image: Tensor,
        speech: SpeechMaps,
        clusters: FoundClusters | None,
        generator: torch.Generator,
    ) -> Negatives:
        """Edit this rank's pictures where their captions' answers are strongest.

        Args:
            model: the generator that drew them.
            drawn: the pictures.
            image: their maps (b, D, H, W).
            speech: maps of their captions (b, D, T).
            clusters: whose units are switched off; None: random units.
            generator: the same on every rank.

        Returns:
            One negative for each picture.
        """
        with torch.autocast(image.device.type, enabled=False):
            found = heat(matchmaps(image.float(), speech.features.float()), speech.nframes)
        share = Share(distributed.rank() * len(image), distributed.world_size() * len(image))
        if clusters is None:
            return random_edits(
                model, drawn.positives, found, generator, self.max_retries, share=share, border=self.border
            )
        features = at_peaks(image.float(), found.peaks)
        near = cluster_similarities(features, clusters.centroids, clusters.mean, clusters.std)
        return cluster_edits(
            model, drawn.positives, found, near, clusters.units, generator, self.max_retries, share, border=self.border
        )
