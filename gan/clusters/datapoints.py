"""Features of pairs where image and caption agree, from which clusters of feature units are made and named.

Public code: surisdi/learning-by-drawing ``clusterer.py`` (``get_datapoints``). A pair gives one product of features, at
the strongest cell of its matchmap, and one image feature (one speech feature) for each run of neighbouring cells
(frames) whose mean (largest) response exceeds half of the best. As published cells are neighbours in reading order. The
best itself always counts: encoders whose features may be negative, unlike the published ones, can have nothing above.

Shape letters: B pairs, D feature units, H, W image map, T frames, P positions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan.clusters.clustering import CLUSTERS, DATAPOINTS, MORE_THAN, QUANTILE, ClusteringError, Clusters, find_clusters
from gan.editing.regions import heat
from models.matchmap import matchmaps

SHARE = 0.5  # of the best response


class Points(NamedTuple):
    """Features at some positions of some pairs."""

    features: Tensor  # (P, D) float32 on the CPU
    pair: Tensor  # (P,) int64, number of the pair in the order in which pairs were added
    position: Tensor  # (P,) int64, cell ``row * W + column`` of an image map, or frame of a speech map


class Datapoints:
    """Collect features batch by batch until there are ``most`` pairs, and positions of either kind.

    ``names`` are the pairs', in the order in which they were added; ``width`` is W of the image maps, to tell rows from
    columns. Raises ClusteringError where ``most`` is below 1.
    """

    def __init__(self, most: int = DATAPOINTS) -> None:
        if most < 1:
            raise ClusteringError(f"{most} datapoints; expected at least 1")
        self.most = most
        self.names: list[str] = []
        self.width = 0
        self._products: list[Tensor] = []
        self._image: list[Points] = []
        self._speech: list[Points] = []

    @property
    def full(self) -> bool:
        """Return whether nothing more is kept."""
        return len(self.names) >= self.most

    @torch.no_grad()
    def add(self, image: Tensor, speech: Tensor, nframes: Tensor | None, names: Sequence[str]) -> None:
        """Add pairs of image features (B, D, H, W) and speech features (B, D, T) with their names, while there is room.

        ``nframes`` are the valid frames (B,), all when None. Raises MatchmapError where the features do not fit each
        other.
        """
        room = self.most - len(self.names)
        image, speech, names = image[:room].float(), speech[:room].float(), list(names)[:room]
        if not names:
            return
        frames = torch.full((len(names),), speech.shape[2]) if nframes is None else nframes[:room].cpu()
        frames = frames.clamp(min=1).to(image.device)
        maps = matchmaps(image, speech)
        rows = torch.arange(len(names), device=image.device)
        row, column, frame = heat(maps, frames).peaks.T
        self._products.append((image[rows, :, row, column] * speech[rows, :, frame]).cpu())
        valid = torch.arange(maps.shape[3], device=maps.device) < frames[:, None]
        masked = maps * valid[:, None, None]
        by_cell = (masked.sum(3) / frames[:, None, None]).flatten(1)
        by_frame = maps.flatten(1, 2).amax(1).masked_fill(~valid, -torch.inf)
        first = len(self.names)
        self._image.append(_points(image.flatten(2), by_cell, first))
        self._speech.append(_points(speech, by_frame, first))
        self.names += names
        self.width = image.shape[3]

    @property
    def products(self) -> Tensor:
        """Return products (N, D) of image and speech features at the strongest cells."""
        return torch.cat(self._products)

    @property
    def image(self) -> Points:
        """Return image features where captions respond."""
        return self._joined(self._image)

    @property
    def speech(self) -> Points:
        """Return speech features where images respond."""
        return self._joined(self._speech)

    def _joined(self, parts: list[Points]) -> Points:
        return Points(*(torch.cat(part)[: self.most] for part in zip(*parts, strict=True)))

    def cluster(self, clusters: int = CLUSTERS, quantile: float = QUANTILE, more_than: int = MORE_THAN) -> Clusters:
        """Cluster the feature units; see :func:`gan.clusters.clustering.find_clusters`.

        Raises ClusteringError where nothing was added, or there are fewer units than clusters.
        """
        if not self.names:
            raise ClusteringError("there are no datapoints; add pairs of images and captions first")
        return find_clusters(self.products, self.image.features, clusters, quantile, more_than)


def _points(features: Tensor, responses: Tensor, first: int) -> Points:
    """Take the features in the middle of each run of strong responses: (B, D, P) features, (B, P) responses."""
    best = responses.amax(1, keepdim=True)
    pair, position = run_middles((responses > SHARE * best) | (responses == best))
    return Points(features[pair, :, position].cpu(), pair.cpu() + first, position.cpu())


def run_middles(marks: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and middle of each run of marked neighbours in ``marks`` (B, P) bool, row by row.

    A middle between two positions goes to the even one, as published.
    """
    padded = torch.nn.functional.pad(marks, (1, 1)).int()
    change = padded[:, 1:] - padded[:, :-1]
    pair, begin = (change == 1).nonzero().T
    end = (change == -1).nonzero()[:, 1] - 1
    return pair, ((begin + end).double() / 2).round().long()
