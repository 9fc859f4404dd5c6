"""Keep clusters of feature units and the generator's units that make them in a module that checkpoints hold.

Shape letters: K clusters, D embedding size, n ranked units of a layer.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan.clusters.clustering import Clusters

PREFIX = "units_"


def units_buffer(layer: str) -> str:
    """Return the buffer's name that holds the ranked units of a layer; buffers' names can have no dots."""
    return PREFIX + layer.replace(".", "/")


def ranked_layers(names: Iterable[str]) -> list[str]:
    """Return the layers whose ranked units stand among the names of saved buffers."""
    return [name.removeprefix(PREFIX).replace("/", ".") for name in names if name.startswith(PREFIX)]


class FoundClusters(NamedTuple):
    """Clusters that were found, and what dissection found with them."""

    centroids: Tensor  # (K, D)
    mean: Tensor  # (D,) of image features
    std: Tensor  # (D,) their standard deviation
    units: dict[str, Tensor]  # layer to (K, n) int64, units of each cluster, the best first

    @property
    def clusters(self) -> Clusters:
        """The clusters without the ranked units."""
        return Clusters(*(value.detach().cpu().double() for value in self[:3]))


class ClusterBuffers(nn.Module):
    """Room for at most ``most`` clusters of ``dim`` = D, whatever their number; ``ranked`` is n of each layer."""

    def __init__(self, most: int, dim: int, ranked: Mapping[str, int]) -> None:
        super().__init__()
        self.layers = list(ranked)
        self.register_buffer("epoch", torch.tensor(-1))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("centroids", torch.zeros(most, dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.zeros(dim))
        for layer, number in ranked.items():
            self.register_buffer(units_buffer(layer), torch.zeros(most, number, dtype=torch.int64))

    def put(self, epoch: int, found: FoundClusters) -> None:
        """Keep what was found at the start of an ``epoch`` (0-based), in place."""
        number = len(found.centroids)
        self.epoch.fill_(epoch)
        self.count.fill_(number)
        self.centroids[:number] = found.centroids
        self.mean.copy_(found.mean)
        self.std.copy_(found.std)
        for layer in self.layers:
            self.get_buffer(units_buffer(layer))[:number] = found.units[layer]

    def get(self) -> FoundClusters | None:
        """Return what was found last; None when nothing was."""
        number = int(self.count)
        if number == 0:
            return None
        units = {layer: self.get_buffer(units_buffer(layer))[:number] for layer in self.layers}
        return FoundClusters(self.centroids[:number], self.mean, self.std, units)
