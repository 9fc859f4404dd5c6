"""Clusters that surisdi/learning-by-drawing saved: ``centroids_N.pth.tar``, ``mean_N.pth.tar``, ``var_N.pth.tar``.

Torch saves of float64 NumPy arrays (not tar files). "var" is the standard deviation. Nothing in them can run code.
"""

from pathlib import Path

import numpy as np
import torch

from gan.clusters.clustering import ClusteringError, Clusters
from models.weights import read_torch_file, real_values

NAMES = ("centroids", "mean", "var")


def load(path: Path, iteration: int = 0) -> Clusters:
    """Load published clusters of a folder, with the number ``iteration`` in their names, or of one of the three files.

    Raises WeightsError where a file is missing, truncated, or holds more than values, and ClusteringError where it
    holds something else than finite numbers, or the three do not fit each other.
    """
    if path.is_dir() or not path.name.endswith(".pth.tar"):
        files = [path / f"{name}_{iteration}.pth.tar" for name in NAMES]
    else:
        ending = path.name.split("_", 1)[-1]
        files = [path.with_name(f"{name}_{ending}") for name in NAMES]
    try:
        return Clusters(*(_array(file) for file in files))
    except ClusteringError as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise ClusteringError(f"{where}{error}") from error


def _array(file: Path) -> torch.Tensor:
    content = read_torch_file(file)
    if isinstance(content, torch.Tensor):
        return real_values(content, str(file))
    if not isinstance(content, np.ndarray) or content.dtype.kind not in "fiu":
        raise ClusteringError(f"{file} holds a {type(content).__name__}, expected an array of real numbers")
    return torch.from_numpy(content.astype(np.float64))
