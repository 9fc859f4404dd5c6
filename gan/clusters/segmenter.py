"""The cluster segmenter: where in an image clusters of feature units respond.

Public code: surisdi/learning-by-drawing ``segmenter.py`` (ClusterSegmenter), with the same maps.

Shape letters: B images, D feature units, h, w image map, K clusters, R pixels high and wide.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan.clusters.clustering import ClusteringError, Clusters
from models.segmenter.labels import check_images

RESOLUTION, THRESHOLD, TINY = 64, 0.5, 1e-8


def cluster_scores(features: Tensor, clusters: Clusters, resolution: int | None = RESOLUTION) -> Tensor:
    """Compare normalised image features (B, D, h, w) with every cluster, (B, K, resolution, resolution).

    The scores are interpolated bilinearly; ``resolution`` None keeps h and w. Raises ClusteringError where the clusters
    are another model's.
    """
    if features.dim() != 4:
        raise ClusteringError(f"image features {tuple(features.shape)}; expected (B, D, h, w)")
    clusters.check(features.shape[1])
    mean, std, centroids = (value.to(features) for value in (clusters.mean, clusters.std, clusters.centroids))
    normalised = (features - mean[:, None, None]) / (std[:, None, None] + TINY)
    scores = torch.einsum("kd,bdhw->bkhw", centroids, normalised)
    if resolution is None:
        return scores
    return F.interpolate(scores, (resolution, resolution), mode="bilinear", align_corners=False)


class ClusterSegmenter(nn.Module):
    """Segment images by clusters of an image encoder's units. A `models.segmenter.labels.Segmenter`.

    Args:
        encoder: (B, 3, R, R) images as it wants them to features (B, D, h, w).
        clusters: of that encoder's units.
        prepare: from images in [-1, 1] to what the encoder wants.
        threshold: of the scores, from which a cluster is there.
        resolution: cells high and wide of the maps; enlarged before the threshold is applied.
        names: of the clusters; None: ``c_2`` and so on, as published (``c_1`` is the background).

    Raises:
        ClusteringError: there is no cluster, or another number of names.
    """

    def __init__(
        self,
        encoder: nn.Module,
        clusters: Clusters,
        prepare: Callable[[Tensor], Tensor],
        threshold: float = THRESHOLD,
        resolution: int = RESOLUTION,
        names: list[str] | None = None,
    ) -> None:
        super().__init__()
        number = len(clusters.centroids)
        if number == 0:
            raise ClusteringError("there is no cluster to segment by; train longer or ask for fewer, larger clusters")
        if names is not None and len(names) != number:
            raise ClusteringError(f"{len(names)} names for {number} clusters; expected one for each")
        self.encoder, self.prepare, self.clusters = encoder, prepare, clusters
        self.threshold, self.resolution = threshold, resolution
        self.labels = names or [f"c_{k + 2}" for k in range(number)]
        self.categories = ["cluster"] * number

    def scores(self, images: Tensor, resolution: int | None) -> Tensor:
        """Score every cluster in images (B, 3, R, R), differentiably: (B, K, resolution, resolution).

        ``resolution`` is in pixels; None leaves the maps as the network gives them.
        """
        check_images(images)
        return cluster_scores(self.encoder(self.prepare(images)), self.clusters, resolution)

    @torch.no_grad()
    def segment(self, images: Tensor) -> Tensor:
        """Label images (B, 3, R, R) in [-1, 1] by maps (B, K, resolution, resolution) bool.

        Several clusters may claim a pixel, or none. Raises SegmentationError where the images are something else, and
        ClusteringError where the clusters are another model's.
        """
        return self.scores(images, self.resolution) > self.threshold
