"""Clusters of feature units that respond together, found where images and their captions agree most.

"Learning Words by Drawing Images" (CVPR 2019), section 4.2; public code surisdi/learning-by-drawing ``clusterer.py``.
For each pair the features of image and caption at the strongest cell of the matchmap are multiplied unit by unit. A
unit is active in a pair where its product exceeds its own 0.99 quantile over all pairs; units are grouped by how much
the sets of pairs they are active in overlap. The original's "var" is the standard deviation.

Shape letters: B pairs of a batch, N pairs, D feature units, H, W image map, T frames, K clusters.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from models.weights import WeightsError, read_state_dict, real_values, write_weights

log = logging.getLogger(__name__)

CLUSTERS, QUANTILE, MORE_THAN, DATAPOINTS = 250, 0.99, 3, 10000  # as published
BEYOND = 1e-7  # a product has to exceed its quantile by this much
TINY = 1e-10


class ClusteringError(UserError, ValueError):
    """Units cannot be clustered, or clusters are another model's."""


@dataclass(frozen=True)
class Clusters:
    """Keep clusters of feature units, and mean and deviation that normalise image features.

    Raises ClusteringError where the shapes are not of one clustering, or a value is not finite.
    """

    centroids: Tensor  # (K, D) float64, 1 / size on a cluster's units and 0 elsewhere
    mean: Tensor  # (D,) float64 of image features where captions respond
    std: Tensor  # (D,) float64 of the same

    def __post_init__(self) -> None:
        shapes = [tuple(value.shape) for value in (self.centroids, self.mean, self.std)]
        if len(shapes[0]) != 2 or not shapes[1] == shapes[2] == shapes[0][1:]:
            raise ClusteringError(
                f"centroids {tuple(self.centroids.shape)}, mean {tuple(self.mean.shape)} and std "
                f"{tuple(self.std.shape)}; expected (K, D), (D,) and (D,): the files are not of one clustering"
            )
        wrong = [name for name in ("centroids", "mean", "std") if not getattr(self, name).isfinite().all()]
        if wrong:
            raise ClusteringError(
                f"{' and '.join(wrong)} of the clusters are not finite: they are damaged, or found by a model whose "
                "features overflow; cluster a trained model's units again"
            )

    @property
    def embedding_dim(self) -> int:
        """Return D."""
        return self.centroids.shape[1]

    def check(self, embedding_dim: int) -> None:
        """Raise ClusteringError for a model with another number of feature units."""
        if embedding_dim != self.embedding_dim:
            raise ClusteringError(
                f"the clusters have {self.embedding_dim} feature units, the model {embedding_dim}: they are another "
                "model's; cluster this model's units again"
            )

    def units(self, cluster: int) -> list[int]:
        """Return the numbers of a cluster's units."""
        return self.centroids[cluster].nonzero()[:, 0].tolist()


def save_clusters(clusters: Clusters, path: Path) -> Path:
    """Write clusters as safetensors, in float64; returns ``path``."""
    write_weights(path, {name: getattr(clusters, name).double() for name in ("centroids", "mean", "std")})
    return path


def load_clusters(path: Path, embedding_dim: int | None = None) -> Clusters:
    """Read clusters that `save_clusters` wrote (published ones: ``published.load_published("clusters", folder)``).

    Raises WeightsError where the file is missing or damaged, and ClusteringError where it holds something else, or,
    with ``embedding_dim``, the clusters of another model.
    """
    state = read_state_dict(Path(path))
    names = {"centroids", "mean", "std"}
    if set(state) != names:
        raise ClusteringError(f"{path} holds {', '.join(sorted(state)[:4])}; expected clusters: {', '.join(names)}")
    try:
        clusters = Clusters(**{name: real_values(value, name) for name, value in state.items()})
    except (ClusteringError, WeightsError) as error:
        raise ClusteringError(f"{path}: {error}") from error
    if embedding_dim is not None:
        clusters.check(embedding_dim)
    return clusters


def find_clusters(
    products: Tensor | np.ndarray,
    image_features: Tensor | np.ndarray,
    clusters: int = CLUSTERS,
    quantile: float = QUANTILE,
    more_than: int = MORE_THAN,
) -> Clusters:
    """Return clusters of feature units, possibly none, in the order of their first units.

    Args:
        products: (N, D) image feature times speech feature of each pair at the matchmap's peak.
        image_features: (M, D) image features where captions respond.
        clusters: groups that the units are put into.
        quantile: of a unit's products, above which it is active.
        more_than: groups are kept that have more units than this.

    Raises:
        ClusteringError: the arguments do not fit each other.
    """
    products, features = (np.asarray(values, dtype=np.float64) for values in (products, image_features))
    if products.ndim != 2 or features.ndim != 2 or products.shape[1] != features.shape[1] or not len(features):
        raise ClusteringError(
            f"products {products.shape} and image features {features.shape}; expected (N, D) and (M, D), at least one"
        )
    if not np.isfinite(products).all() or not np.isfinite(features).all():
        raise ClusteringError("products or image features are not finite: the model's features overflow")
    labels = group_units(jaccard(active_units(products, quantile)), clusters)
    groups = [labels == group for group in range(clusters)]
    kept = [group / group.sum() for group in groups if group.sum() > more_than]
    if not kept:
        log.warning("none of %d groups of %d units has more than %d units", clusters, products.shape[1], more_than)
    centroids = np.array(kept).reshape(-1, products.shape[1])
    return Clusters(*(torch.from_numpy(values) for values in (centroids, features.mean(0), features.std(0))))


def active_units(products: np.ndarray, quantile: float = QUANTILE) -> np.ndarray:
    """Return in which pairs each unit is active, (N, D) bool, of products (N, D) float64.

    Raises ClusteringError where the quantile is not between 0 and 1, or there is no pair.
    """
    if not 0 < quantile < 1 or not len(products):
        raise ClusteringError(f"quantile {quantile} of {len(products)} pairs; expected one between 0 and 1 of some")
    return products > np.quantile(products, quantile, axis=0) + BEYOND


def jaccard(active: np.ndarray) -> np.ndarray:
    """Return in how many pairs two units are both active over those in which either is, (D, D) float64, of (N, D) bool.

    The diagonal is 0.
    """
    marks = active.astype(np.float64)
    both = marks.T @ marks
    counts = marks.sum(0)
    similarity = both / (counts[:, None] + counts[None, :] - both + TINY)
    np.fill_diagonal(similarity, 0.0)
    return similarity


def group_units(similarity: np.ndarray, groups: int) -> np.ndarray:
    """Merge units by average linkage of ``1 - similarity`` (D, D), which is symmetric, until so many groups are left.

    Returns the group (D,) int64 of each unit; groups are numbered in the order of their first units. Raises
    ClusteringError where there are fewer units than groups.
    """
    units = len(similarity)
    if not 1 <= groups <= units:
        raise ClusteringError(f"{groups} clusters of {units} feature units; expected 1 to {units}")
    if units == 1:
        return np.zeros(1, dtype=np.int64)
    distance = 1 - similarity
    np.fill_diagonal(distance, 0.0)
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    merges = linkage(squareform(distance, checks=False), method="average")
    members: dict[int, list[int]] = {unit: [unit] for unit in range(units)}
    for step, (one, other, _, _) in enumerate(merges[: units - groups]):
        members[units + step] = members.pop(int(one)) + members.pop(int(other))
    labels = np.empty(units, dtype=np.int64)
    for number, group in enumerate(sorted(members.values(), key=min)):
        labels[group] = number
    return labels
