"""The training pairs of a task that generates the images, as clustering and the page about clusters look at them.

Shape letters: b pairs of this rank, D feature units, H, W image map, T frames.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from common import distributed
from datasets.spoken_captions.splits import SpeechImageData
from engine.run_folder import RunFolder
from gan.clusters.clustering import Clusters
from gan.clusters.datapoints import Datapoints
from gan.clusters.names import ClusterName
from models.speech_maps import SpeechMaps
from tasks.speech_image.encode_split import Encode
from tasks.words_by_drawing.cluster_report import DatasetPairs, clusters_section, write_clusters
from tasks.words_by_drawing.clustering import DrawingClusters, collect
from tasks.words_by_drawing.generated_images import GeneratedImages

FRAME_SECONDS = 0.01


class TrainingPairs:
    """Finds clusters among the training pairs and writes about them.

    Args:
        data: whose training pairs are looked at.
        encode: from a batch of a dataset to image maps (b, D, H, W) and speech maps (b, D, T).
        image_encoder: the one of ``encode``.
        images: generates the images.
        spoken: whether the captions are heard; else they are read.
    """

    def __init__(
        self, data: SpeechImageData, encode: Encode, image_encoder: nn.Module, images: GeneratedImages, spoken: bool
    ) -> None:
        self.data, self.images, self.spoken = data, images, spoken
        self.image_encoder = image_encoder
        self._encode = encode
        self.pooling = 1

    def batches(self, epoch: int) -> Iterator[dict[str, Any]]:
        """Return this rank's training batches of an epoch.

        Args:
            epoch: 0-based.
        """
        return self.data.train_loader.batches(epoch)

    def encode(self, batch: dict[str, Any]) -> tuple[Tensor, SpeechMaps]:
        """Encode a training batch, and note how many input frames one frame of its speech maps covers.

        Args:
            batch: as ``batches`` gives it.

        Returns:
            Image maps (b, D, H, W), and the speech maps.
        """
        image, speech = self._encode(batch, self.data.train_loader.dataset)
        self.pooling = speech.pooling or 1
        return image, speech

    def renew(self, clusters: DrawingClusters, epoch: int, folder: RunFolder | None) -> None:
        """Find clusters at the start of an epoch, and leave them in the run folder if there is one (on every rank).

        Args:
            clusters: where they are kept.
            epoch: 0-based.
            folder: of the run, or None.
        """
        found, points = clusters.renew(epoch, self.batches(epoch), self.encode, self.image_encoder)
        if folder is not None:
            self._write(folder, f"epoch_{epoch + 1:03d}", found, points)

    def report(self, clusters: DrawingClusters, folder: RunFolder) -> list[tuple[str, str]]:
        """Name the clusters of the reported weights anew and link to every page about clusters (on every rank).

        Args:
            clusters: of the reported weights.
            folder: of the run.

        Returns:
            A section of the report on rank 0, if clusters were found; else nothing.
        """
        found = clusters.found.get()
        if found is None:
            return []
        points = collect(self.batches(int(clusters.found.epoch)), self.encode, clusters.settings.datapoints)
        names = self._write(folder, "report", found.clusters, points)
        return [clusters_section(folder.path, names)] if distributed.is_main() else []

    def _write(self, folder: RunFolder, name: str, clusters: Clusters, points: Datapoints) -> list[ClusterName]:
        """Write clusters, names and page on rank 0, where the names are returned."""
        if not distributed.is_main():
            return []
        dataset = self.data.train_loader.dataset
        pairs = DatasetPairs(points.names, dataset, self.images.image, self.image_encoder, self.spoken)
        title = f"{folder.path.name}: clusters of feature units, {name.replace('_', ' ')}"
        seconds = FRAME_SECONDS * self.pooling
        return write_clusters(folder.path / "clusters" / name, title, clusters, points, pairs, seconds)
