"""Names clusters of feature units by the words and the image regions that respond to them most.

Public code: surisdi/learning-by-drawing ``clusterer.py`` (``name_clusters``, ``name_with_images_clusters``), which
plays the 100 strongest frames of each cluster one after the other for a person to listen to. Here the words spoken
then are counted as well, where captions have word times.

Shape letters: P positions, K clusters, D feature units.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from gan.clusters.clustering import Clusters
from gan.clusters.datapoints import Points

STRONGEST = 100  # frames and regions of a cluster that are looked at, as published
LOWEST_SUM = 100.0  # responses of a frame are divided by their sum over clusters, or by this where it is lower
LEAST_LIFT, LEAST_COUNT = 1.5, 2

Words = Sequence[tuple[float, float, str]]


class WordCount(NamedTuple):
    """Keep how a word stands out among the strongest frames of a cluster."""

    word: str  # lower case
    count: int  # of the strongest frames in which it is spoken
    lift: float  # its share of them over its share of all frames


class Position(NamedTuple):
    """One strong response to a cluster."""

    pair: int  # number of the pair
    position: int  # cell of the image map, or frame of the speech map
    value: float  # strength of the response
    word: str | None = None  # spoken then; None for regions, and where no word is known
    span: tuple[float, float] | None = None  # start and end of that word in seconds


class ClusterName(NamedTuple):
    """Keep the words, frames and regions that respond to a cluster."""

    name: str  # its strongest words, joined by "/"; "cluster k" (counted from 1) where none stands out
    words: list[WordCount]  # that stand out, the strongest first
    frames: list[Position]  # strongest frames, one of each pair
    regions: list[Position]  # strongest image regions, one of each pair


def name_clusters(
    clusters: Clusters,
    speech: Points,
    image: Points,
    words: Mapping[int, Words],
    frame_seconds: float,
    strongest: int = STRONGEST,
) -> list[ClusterName]:
    """Name each of the K clusters.

    Args:
        clusters: of the features' model.
        speech: speech features where images respond.
        image: image features where captions respond.
        words: (start, end, word) in seconds by number of the pair; pairs without word times may lack.
        frame_seconds: length of a frame of the speech maps.
        strongest: frames and regions that are looked at.

    Raises:
        ClusteringError: the features are another model's.
        ValueError: impossible numbers.
    """
    if frame_seconds <= 0 or strongest < 1:
        raise ValueError(f"frame_seconds={frame_seconds}, strongest={strongest}; expected above 0 and at least 1")
    for points in (speech, image):
        clusters.check(points.features.shape[1])
    centroids = clusters.centroids.to(speech.features)
    responses = speech.features @ centroids.T
    responses = responses / responses.sum(1, keepdim=True).clamp(min=LOWEST_SUM)
    seen = image.features @ centroids.T
    spoken = [_spoken(words.get(int(p), ()), int(t), frame_seconds) for p, t in zip(*speech[1:], strict=True)]
    base = Counter(entry[2] for entry in spoken if entry)
    found = []
    for number in range(len(centroids)):
        frames = [
            Position(
                int(speech.pair[row]), int(speech.position[row]), float(responses[row, number]), *_word(spoken[row])
            )
            for row in _order(responses[:, number])
        ]
        best = one_of_each(frames, strongest)
        standing_out = count_words([position.word for position in frames[:strongest]], base)
        regions = [
            Position(int(image.pair[row]), int(image.position[row]), float(seen[row, number]))
            for row in _order(seen[:, number])
        ]
        name = "/".join(entry.word for entry in standing_out[:3]) or f"cluster {number + 1}"
        found.append(ClusterName(name, standing_out, best, one_of_each(regions, strongest)))
    return found


def _order(values: torch.Tensor) -> np.ndarray:
    return np.argsort(-values.numpy(), kind="stable")


def _spoken(words: Words, frame: int, frame_seconds: float) -> tuple[float, float, str] | None:
    """Find the word spoken in the middle of a frame, or the nearest within half a frame."""
    middle = (frame + 0.5) * frame_seconds
    near = [(max(start - middle, middle - end, 0.0), start, end, word) for start, end, word in words]
    near = [entry for entry in near if entry[0] <= frame_seconds / 2]
    if not near:
        return None
    _, start, end, word = min(near)
    return start, end, word.lower()


def _word(spoken: tuple[float, float, str] | None) -> tuple[str | None, tuple[float, float] | None]:
    return (None, None) if spoken is None else (spoken[2], spoken[:2])


def one_of_each(positions: Sequence[Position], most: int) -> list[Position]:
    """Return the first position of each pair, at most so many, in the order given."""
    first: dict[int, Position] = {}
    for position in positions:
        if position.pair not in first:
            first[position.pair] = position
            if len(first) == most:
                break
    return list(first.values())


def count_words(found: Sequence[str | None], base: Mapping[str, int]) -> list[WordCount]:
    """Return the words that are more frequent among some frames than among all, by count times logarithm of the lift.

    ``found`` are the words of the frames, None where none is known, and ``base`` the number of each word among all
    frames. Words count that are found twice or more, and at least 1.5 times as often as elsewhere.
    """
    known = Counter(word for word in found if word is not None)
    total, everywhere = sum(known.values()), sum(base.values())
    counts = [WordCount(word, n, n / total / (base[word] / everywhere)) for word, n in known.items()]
    kept = [entry for entry in counts if entry.count >= LEAST_COUNT and entry.lift >= LEAST_LIFT]
    return sorted(kept, key=lambda entry: (-entry.count * math.log(entry.lift), entry.word))
