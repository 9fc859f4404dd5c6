"""Write the page about clusters of feature units from their datapoints: names, image regions, pieces of speech.

Shape letters: D feature units, h, w image map, H, W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from evaluation.report.clusters import ClusterCard, Region, Snippet, write_clusters_report
from gan.clusters.clustering import Clusters
from gan.clusters.datapoints import Datapoints
from gan.clusters.names import ClusterName, Position, Words, name_clusters
from gan.clusters.segmenter import cluster_scores

SHOWN_THRESHOLD = 1.0  # of the scores, for regions on the page, as published
AROUND_WORD, AROUND_FRAME = 0.08, 0.3  # seconds of sound before and after what is played
SAMPLE_RATE = 16000


class Pairs(Protocol):
    """Tells about the pairs behind datapoints, by their number."""

    def image_u8(self, pair: int) -> np.ndarray:
        """Return the image, (H, W, 3) uint8."""

    def features(self, pair: int) -> Tensor:
        """Return the image's features, (D, h, w)."""

    def waveform(self, pair: int) -> np.ndarray | None:
        """Return the caption's sound, (n,) float at 16 kHz, or None."""

    def words(self, pair: int) -> Words | None:
        """Return (start, end, word) in seconds, or None."""

    def text(self, pair: int) -> str:
        """Return the written caption, or an empty text."""


@dataclass(frozen=True)
class PageSize:
    """How many of the best named clusters are shown, and regions and snippets of each."""

    clusters: int = 60
    regions: int = 10
    snippets: int = 5


def write_cluster_page(
    path: Path,
    title: str,
    clusters: Clusters,
    datapoints: Datapoints,
    pairs: Pairs,
    frame_seconds: float,
    size: PageSize = PageSize(),
) -> list[ClusterName]:
    """Name all clusters, write a page of the best named, return the names in the order of the clusters.

    ``frame_seconds`` is what one frame of the speech maps covers. A ClusteringError: no datapoints, or another model's
    clusters.
    """
    words = {pair: pairs.words(pair) or () for pair in range(len(datapoints.names))}
    names = name_clusters(clusters, datapoints.speech, datapoints.image, words, frame_seconds)
    order = sorted(range(len(names)), key=lambda k: -names[k].words[0].count if names[k].words else 0)
    cards = [_card(k, names[k], clusters, pairs, frame_seconds, size) for k in order[: size.clusters]]
    with_word = sum(bool(entry.words) for entry in names)
    lead = (
        f"{len(names)} clusters of {clusters.embedding_dim} feature units; a word stands out in {with_word}. Behind a "
        "word: in how many of the strongest frames it is spoken, and how many times its usual share that is. Bright: "
        f"where the image responses. {len(cards)} clusters are shown, the clearest words first."
    )
    write_clusters_report(path, title, cards, lead)
    return names


def _card(
    number: int, entry: ClusterName, clusters: Clusters, pairs: Pairs, frame_seconds: float, size: PageSize
) -> ClusterCard:
    return ClusterCard(
        name=entry.name,
        units=len(clusters.units(number)),
        words=[tuple(word) for word in entry.words],
        regions=[_region(number, position, clusters, pairs) for position in entry.regions[: size.regions]],
        snippets=_snippets(entry.frames, pairs, frame_seconds, size.snippets),
    )


def _region(number: int, position: Position, clusters: Clusters, pairs: Pairs) -> Region:
    """Return the image, lit where the cluster responds, at least in the strongest cell."""
    scores = cluster_scores(pairs.features(position.pair)[None].float(), clusters, None)[0, number]
    mask = (scores > SHOWN_THRESHOLD).cpu().numpy()
    mask.reshape(-1)[position.position] = True
    return Region(pairs.image_u8(position.pair), mask, pairs.text(position.pair))


def _snippets(frames: Sequence[Position], pairs: Pairs, frame_seconds: float, most: int) -> list[Snippet]:
    found = []
    for position in frames:
        sound = pairs.waveform(position.pair)
        if sound is None:
            continue
        middle = (position.position + 0.5) * frame_seconds
        around = AROUND_WORD if position.span else AROUND_FRAME
        start, end = position.span or (middle, middle)
        first, last = (round(second * SAMPLE_RATE) for second in (start - around, end + around))
        piece = sound[max(first, 0) : last]
        if len(piece):
            found.append(Snippet(piece, SAMPLE_RATE, position.word or "", pairs.text(position.pair)))
        if len(found) == most:
            break
    return found
