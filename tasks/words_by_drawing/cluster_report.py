"""Leave in the run folder what was found about clusters of feature units: the clusters, their names, a page.

``clusters/epoch_003/`` (what training found at the start of epoch 3) and ``clusters/report/`` (what the reported
weights use, named anew) hold ``clusters.safetensors``, which ``task.objective.negatives.clustering.load`` takes,
``names.json`` and ``clusters.html``.

Shape letters: D feature units, h, w image map, R pixels high and wide.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from common.files import write_whole
from datasets.audio.log_mel import FRAME_SECONDS, HOP
from datasets.audio.read import SAMPLE_RATE
from datasets.spoken_captions.dataset import SpokenCaptions
from evaluation.report.clusters import ClusterCard, Region, Snippet, pages_section, write_clusters_report
from gan.clusters.clustering import Clusters, save_clusters
from gan.clusters.datapoints import Datapoints
from gan.clusters.names import ClusterName, Position, Words, name_clusters
from gan.clusters.segmenter import cluster_scores
from gan.images import encoder_input, to_uint8

FILE, NAMES, PAGE = "clusters.safetensors", "names.json", "clusters.html"
SHOWN_NAMES = 12  # of clusters, in the run's report
SHOWN_CLUSTERS, SHOWN_REGIONS, SHOWN_SNIPPETS = 60, 10, 5  # on the page: the best named, and of each
SHOWN_THRESHOLD = 1.0  # of the scores, for regions on the page, as published
AROUND_WORD, AROUND_FRAME = 0.08, 0.3  # seconds of sound before and after what is played
ImageOf = Callable[[SpokenCaptions, int], Tensor]


class DatasetPairs:
    """Describes pairs of a dataset whose images are generated.

    Args:
        names: row of the dataset, as text, of each pair (``Datapoints.names``).
        dataset: the captions.
        image_of: from dataset and row to the image (3, R, R) in about [-1, 1].
        image_encoder: in evaluation mode.
        spoken: whether the captions are spoken; else sounds and word times are left out.
    """

    def __init__(
        self,
        names: list[str],
        dataset: SpokenCaptions,
        image_of: ImageOf,
        image_encoder: nn.Module,
        spoken: bool = True,
    ) -> None:
        self.rows = [int(name) for name in names]
        self.dataset, self.image_encoder, self.spoken = dataset, image_encoder, spoken
        self._generated = lru_cache(maxsize=256)(lambda row: image_of(dataset, row))
        self.longest = dataset.max_frames

    def image_u8(self, pair: int) -> np.ndarray:
        """Return the image, (R, R, 3) uint8."""
        return to_uint8(self._generated(self.rows[pair])).numpy()

    @torch.no_grad()
    def features(self, pair: int) -> Tensor:
        """Return the image's features, (D, h, w) on the CPU."""
        return self.image_encoder(encoder_input(self._generated(self.rows[pair])[None]))[0].float().cpu()

    def waveform(self, pair: int) -> np.ndarray | None:
        """Return the caption's sound, or None where the model saw an unknown part of it."""
        sound = self.dataset.waveform(self.rows[pair]) if self.spoken else None
        cut = sound is not None and self.longest is not None and len(sound) > (self.longest + 3) * HOP
        return None if cut else sound

    def words(self, pair: int) -> Words | None:
        """Return (start, end, word) in seconds, or None where they are not known or the caption was cut."""
        found = self.dataset.record(self.rows[pair]).alignment if self.spoken else None
        cut = found and self.longest is not None and found[-1][1] > (self.longest + 3) * FRAME_SECONDS
        return None if cut else found

    def text(self, pair: int) -> str:
        """Return the written caption, or an empty text."""
        return self.dataset.record(self.rows[pair]).text or ""


def write_clusters(
    folder: Path,
    title: str,
    clusters: Clusters,
    datapoints: Datapoints,
    pairs: DatasetPairs,
    frame_seconds: float,
) -> list[ClusterName]:
    """Write the clusters, their names and their page on rank 0; return the names in the order of the clusters."""
    save_clusters(clusters, folder / FILE)
    names = write_cluster_page(folder / PAGE, title, clusters, datapoints, pairs, frame_seconds)
    rows = [
        {"name": entry.name, "units": clusters.units(k), "words": [word._asdict() for word in entry.words]}
        for k, entry in enumerate(names)
    ]
    write_whole(folder / NAMES, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
    return names


def clusters_section(run: Path, names: list[ClusterName]) -> tuple[str, str]:
    """Return heading and HTML of the section of a run's report that names its clusters and links to their pages."""
    clear = sorted((entry for entry in names if entry.words), key=lambda entry: -entry.words[0].count)
    shown = ", ".join(entry.name for entry in clear[:SHOWN_NAMES]) or "none"
    lead = f"{len(names)} clusters of feature units; a word stands out in {len(clear)}, most clearly: {shown}."
    paths = sorted((run / "clusters").glob(f"*/{PAGE}"))
    pages = {path.relative_to(run).as_posix(): path.parent.name.replace("_", " ") for path in paths}
    return "Clusters", pages_section(lead, pages)


def write_cluster_page(
    path: Path,
    title: str,
    clusters: Clusters,
    datapoints: Datapoints,
    pairs: DatasetPairs,
    frame_seconds: float,
) -> list[ClusterName]:
    """Name all clusters, write a page of the best named, return the names in the order of the clusters.

    ``frame_seconds`` is what one frame of the speech maps covers. A ClusteringError: no datapoints, or another model's
    clusters.
    """
    words = {pair: pairs.words(pair) or () for pair in range(len(datapoints.names))}
    names = name_clusters(clusters, datapoints.speech, datapoints.image, words, frame_seconds)
    order = sorted(range(len(names)), key=lambda k: -names[k].words[0].count if names[k].words else 0)
    cards = [_card(k, names[k], clusters, pairs, frame_seconds) for k in order[:SHOWN_CLUSTERS]]
    with_word = sum(bool(entry.words) for entry in names)
    lead = (
        f"{len(names)} clusters of {clusters.embedding_dim} feature units; a word stands out in {with_word}. Behind a "
        "word: in how many of the strongest frames it is spoken, and how many times its usual share that is. Bright: "
        f"where the image responds. {len(cards)} clusters are shown, the clearest words first."
    )
    write_clusters_report(path, title, cards, lead)
    return names


def _card(
    number: int, entry: ClusterName, clusters: Clusters, pairs: DatasetPairs, frame_seconds: float
) -> ClusterCard:
    return ClusterCard(
        name=entry.name,
        units=len(clusters.units(number)),
        words=[tuple(word) for word in entry.words],
        regions=[_region(number, position, clusters, pairs) for position in entry.regions[:SHOWN_REGIONS]],
        snippets=_snippets(entry.frames, pairs, frame_seconds),
    )


def _region(number: int, position: Position, clusters: Clusters, pairs: DatasetPairs) -> Region:
    """Return the image, lit where the cluster responds, at least in the strongest cell."""
    scores = cluster_scores(pairs.features(position.pair)[None].float(), clusters, None)[0, number]
    mask = (scores > SHOWN_THRESHOLD).cpu().numpy()
    mask.reshape(-1)[position.position] = True
    return Region(pairs.image_u8(position.pair), mask, pairs.text(position.pair))


def _snippets(frames: Sequence[Position], pairs: DatasetPairs, frame_seconds: float) -> list[Snippet]:
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
        if len(found) == SHOWN_SNIPPETS:
            break
    return found
