"""Cluster feature units while a task learns, and find which of the generator's units make each: now and then anew.

"Learning Words by Drawing Images" (CVPR 2019); published: surisdi/learning-by-drawing ``clusterer.py`` and
``trainer.py`` (``optimize_neurons``). Clusters and units live in buffers of a module, so that checkpoints keep them.

Shape letters: K clusters, D embedding size, n ranked units of a layer.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from common import distributed
from common.errors import UserError
from datasets.audio.log_mel import FRAME_SECONDS
from engine import replicas
from engine.run_folder import RunFolder
from gan.clusters.clustering import CLUSTERS, DATAPOINTS, Clusters, load_clusters
from gan.clusters.datapoints import Datapoints
from gan.clusters.names import ClusterName
from gan.clusters.segmenter import ClusterSegmenter
from gan.dissection.dissect import dissect_generator
from gan.dissection.unit_ranking import rank_units
from gan.editing.regenerate import generate
from gan.images import encoder_input
from gan.latents import latents
from published import load_published
from tasks.speech_image.objective import Parts
from tasks.words_by_drawing.cluster_buffers import ClusterBuffers, FoundClusters, units_buffer
from tasks.words_by_drawing.cluster_report import FILE, DatasetPairs, clusters_section, write_clusters
from tasks.words_by_drawing.generated_images import GeneratedImages

log = logging.getLogger(__name__)
DRY_PAIRS, DRY_SAMPLES = 64, 4
KEY = "task.objective.negatives.clustering"
CLUSTER_FOLDER = "cluster"  # of an active-learning selection, as published
LATENT_SEED, THRESHOLD_SEED = 1, 2  # of the images that are dissected, and of those that choose thresholds; published


@dataclass
class Clustering:
    """Choices of when and how feature units are clustered and the generator is dissected.

    Attributes:
        epochs_clustering: epochs from one clustering to the next; 10 as published.
        datapoints: pairs that are looked at, 10,000 as published.
        clusters: groups that the units are put into, 250 as published; only those with more than 3 units are kept.
        samples: images that the generator is dissected with, 1,000 as published.
        load: file of clusters to use instead of finding some (the published ``path_cluster_load``), or a folder of
            published ones; the generator is dissected with them once. None with active learning: the clusters that the
            selection was made with, where there are any.
        excluded_units: units of the generator that are never switched off, by layer: those that only carry noise (35,
            221, 280 and 496 of the published generator).
        exclusion: ``removed`` leaves them out of the rankings; ``published`` keeps their ranks and puts unit 0 there,
            which is then switched off in their stead.
        dissected: what the image encoder sees of the images that the generator is dissected with: ``normalised``
            images, as in training, or, as ``published``, the generator's own output in [-1, 1].
    """

    epochs_clustering: PositiveInt = 10
    datapoints: PositiveInt = DATAPOINTS
    clusters: PositiveInt = CLUSTERS
    samples: PositiveInt = 1000
    load: Path | None = None
    excluded_units: dict[str, list[NonNegativeInt]] = field(default_factory=dict)
    exclusion: Literal["removed", "published"] = "removed"
    dissected: Literal["normalised", "published"] = "normalised"

    def for_dry_run(self) -> "Clustering":
        """Return the same at a size that shows in seconds whether everything fits."""
        return replace(self, datapoints=min(self.datapoints, DRY_PAIRS), samples=min(self.samples, DRY_SAMPLES))

    def with_selection(self, active_learning: Path | None) -> "Clustering":
        """Return the same with the clusters of an active-learning selection, unless others are to be loaded."""
        folder = None if active_learning is None else active_learning / CLUSTER_FOLDER
        return self if self.load is not None or folder is None or not folder.is_dir() else replace(self, load=folder)


class DrawingClusters:
    """Finds clusters of a task's feature units and the generator's units that make them, when it is time.

    Raises a UserError about excluded units that the generator does not have, fewer feature units than clusters, or a
    file to load that holds none, and a ClusteringError about clusters to load of another model.
    """

    def __init__(self, settings: Clustering, parts: Parts, images: GeneratedImages) -> None:
        self.settings, self.parts, self.images = settings, parts, images
        one = generate(images.generator, images.latents.take([0]).to(images.device), images.layers)
        channels = {layer: shape[0] for layer, shape in one.shapes.items()}
        _check_excluded(settings.excluded_units, channels)
        dim = parts.image_encoder.embedding_dim
        self.loaded = read_clusters(settings.load, dim) if settings.load is not None else None
        if self.loaded is not None and not len(self.loaded.centroids):
            raise UserError(
                f"{KEY}.load: {settings.load} holds no cluster, and no others are found with load; "
                "give clusters of a trained model, or load: null to find them"
            )
        most = settings.clusters if self.loaded is None else len(self.loaded.centroids)
        if self.loaded is None and most > dim:
            raise UserError(
                f"{KEY}.clusters is {most}, but the encoders have {dim} feature units; expected at "
                f"most {dim}, and far fewer for clusters of several units"
            )
        removed = settings.excluded_units if settings.exclusion == "removed" else {}
        ranked = {name: number - len(set(removed.get(name, ()))) for name, number in channels.items()}
        self.found = ClusterBuffers(most, dim, ranked).to(images.device)

    def due(self, epoch: int) -> bool:
        """Return whether to find clusters at the start of an epoch; not a second time in a run resumed within it."""
        last = int(self.found.epoch)
        if last < 0:
            return True
        return self.loaded is None and last != epoch and epoch % self.settings.epochs_clustering == 0

    def renew(self, epoch: int) -> None:
        """Cluster feature units at the start of an epoch, dissect the generator, write into the run folder if any.

        The encoders are in evaluation mode; the same is found on every rank.
        """
        points, frame_seconds = self._collect(epoch)
        clusters = self.loaded or points.cluster(self.settings.clusters)
        number = len(clusters.centroids)
        if number:
            units = self._rank(clusters)
            asked = f" of {self.settings.clusters} asked for" if self.loaded is None else f" from {self.settings.load}"
            log.info("epoch %d: %d clusters%s, generator dissected with them", epoch + 1, number, asked)
        else:
            units = {layer: self.found.get_buffer(units_buffer(layer))[:0] for layer in self.images.layers}
            log.warning(
                "epoch %d: no cluster has more than 3 feature units, negatives get random units until the next "
                "clustering; train with the objective tasks.words_by_drawing.Regular first and start from that "
                "(init_from)",
                epoch + 1,
            )
        self.found.put(epoch, FoundClusters(*(clusters.centroids, clusters.mean, clusters.std), units))
        replicas.broadcast_modules([self.found])
        if self.parts.folder is not None:
            self._write(self.parts.folder, f"epoch_{epoch + 1:03d}", clusters, points, frame_seconds)

    def report(self, folder: RunFolder) -> list[tuple[str, str]]:
        """Name the clusters of the reported weights anew; return the section that links to every page about clusters.

        To be called on every rank; there is a section on rank 0 alone, and only where clusters were found.
        """
        found = self.found.get()
        if found is None:
            return []
        names = self._write(folder, "report", found.clusters, *self._collect(int(self.found.epoch)))
        return [clusters_section(folder.path, names)] if distributed.is_main() else []

    @torch.no_grad()
    def _collect(self, epoch: int) -> tuple[Datapoints, float]:
        """Take datapoints of an epoch's training pairs until there are enough, the same on every rank.

        Returned as well are the seconds that a frame of the speech maps covers.
        """
        loader, points, pooling = self.parts.data.train_loader, Datapoints(self.settings.datapoints), 1
        for batch in loader.batches(epoch):
            image, speech = self.parts.encode(batch, loader.dataset)
            pooling = speech.pooling or 1
            rows = distributed.gather_rows(batch["index"].to(image.device))  # they name the pairs
            points.add(
                distributed.gather_rows(image),
                distributed.gather_padded(speech.features),
                distributed.gather_rows(speech.nframes),
                [str(row) for row in rows.tolist()],
            )
            if points.full:
                break
        return points, FRAME_SECONDS * pooling

    def _write(
        self, folder: RunFolder, name: str, clusters: Clusters, points: Datapoints, frame_seconds: float
    ) -> list[ClusterName]:
        """Write clusters, names and page on rank 0, where the names are returned."""
        if not distributed.is_main():
            return []
        parts = self.parts
        dataset = parts.data.train_loader.dataset
        pairs = DatasetPairs(points.names, dataset, self.images.image, parts.image_encoder, parts.spoken)
        title = f"{folder.path.name}: clusters of feature units, {name.replace('_', ' ')}"
        return write_clusters(folder.path / "clusters" / name, title, clusters, points, pairs, frame_seconds)

    def _rank(self, clusters: Clusters) -> dict[str, Tensor]:
        """Rank the units of each layer for each cluster, (K, n) int64, the best first."""
        prepare = encoder_input if self.settings.dissected == "normalised" else nn.Identity()
        segmenter = ClusterSegmenter(self.parts.image_encoder, clusters, prepare)
        generator, samples = self.images.generator, self.settings.samples
        table, others = (latents(samples, generator.latent_dim, seed) for seed in (LATENT_SEED, THRESHOLD_SEED))
        found = dissect_generator(generator, segmenter, table, self.images.layers, threshold_latents=others, examples=1)
        return rank_units(found, self.settings.excluded_units, self.settings.exclusion == "published")


def read_clusters(path: Path, dim: int) -> Clusters:
    """Read clusters of D = ``dim`` from a file, or a folder with ``clusters.safetensors`` or published ones."""
    if not path.is_dir():
        return load_clusters(path, dim)
    if (path / FILE).is_file():
        return load_clusters(path / FILE, dim)
    clusters = load_published("clusters", path)
    clusters.check(dim)
    return clusters


def _check_excluded(excluded: Mapping[str, list[int]], channels: Mapping[str, int]) -> None:
    """Refuse excluded units that are not there, and excluding all."""
    for layer, units in excluded.items():
        if layer not in channels:
            raise UserError(f"{KEY}.excluded_units names {layer!r}, expected one of the edited layers {list(channels)}")
        beyond = [unit for unit in units if unit >= channels[layer]]
        if beyond or len(set(units)) >= channels[layer]:
            raise UserError(
                f"{KEY}.excluded_units of {layer} is {units}; the layer has the units 0 to "
                f"{channels[layer] - 1}, and one at least must be left"
            )
