"""Clusters of feature units, and the maps of the cluster segmenter."""

import numpy as np
import torch

from gan.clusters.clustering import Clusters, find_clusters, load_clusters, save_clusters
from gan.clusters.segmenter import cluster_scores
from tests.parity.case import Case
from tests.parity.kinds import Arrays, Groups


def groups(case: Case) -> Groups:
    """The clusters, and the label maps of the case's own clusters."""
    hyper = case.hyper

    def clusters() -> Arrays:
        products = case.input("datapoints_mul").astype(np.float64)
        features = case.input("datapoints_image").astype(np.float64)
        settings = (hyper["num_clusters"], hyper["quantile"], hyper["min_units_exclusive"])
        path = save_clusters(find_clusters(products, features, *settings), case.folder / "clusters.safetensors")
        found = load_clusters(path, products.shape[1])
        rows = found.centroids.numpy()
        return {
            "centroids": _in_order_of(rows, case.arrays.get("centroids")),
            "num_clusters_kept": np.asarray(len(rows)),
            "mean": found.mean.numpy(),
            "std": found.std.numpy(),
        }

    def labels(ending: str, resolution: int | None) -> Arrays:
        stored = (case.tensor(name).double() for name in ("seg_clusters", "seg_mean", "seg_std"))
        scores = cluster_scores(case.tensor("seg_features"), Clusters(*stored), resolution)
        numbers = torch.arange(1, scores.shape[1] + 1)[:, None, None] * (scores > hyper["segment_threshold"])
        return {f"labels_{ending}": numbers.numpy().astype(np.uint8)}

    return {
        "clusters": clusters,
        "labels_up": lambda: labels("up", hyper["upsample_size"][0]),
        "labels_noup": lambda: labels("noup", None),
    }


def _in_order_of(rows: np.ndarray, expected: np.ndarray | None) -> np.ndarray:
    """Put rows, which are a set, in the order of the case's: each to the nearest that is left."""
    if expected is None or rows.shape != expected.shape:
        return rows
    left = list(range(len(rows)))
    order = [left.pop(int(np.abs(rows[left] - row).sum(1).argmin())) for row in expected]
    return rows[order]
