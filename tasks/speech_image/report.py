"""Write the retrieval report of a split: metrics, and the best and worst queries with their captions and images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.audio.log_mel import FRAME_SECONDS
from datasets.audio.read import SAMPLE_RATE
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.vocabulary import words as split_words
from engine.context import Context
from engine.run_folder import RunFolder
from evaluation.report.parts.left_out_samples import left_out_metrics
from evaluation.report.retrieval import Query, Report, Retrieved, best_and_worst, write_report
from evaluation.retrieval.different_images import Ranked
from evaluation.retrieval.tables import write_retrieval
from models.matchmap import matchmaps
from tasks.results import last_start
from tasks.speech_image.encode_split import Encoded

Compare = Callable[[Tensor, Tensor, Tensor], Tensor]
ImageOfRow = Callable[[SpokenCaptions, int], np.ndarray]
EXAMPLES = 4  # best and worst queries of each direction in the report
RESULTS = 5  # of each query
CURVES = ("train/loss", "learning_rate/", "speed/samples_per_second", "validation/recall@", "validation/median_rank")


def write_retrieval_report(
    folder: RunFolder,
    context: Context,
    dataset: SpokenCaptions,
    encoded: Encoded,
    ranked: Ranked,
    compare: Compare,
    split: str,
    image_of_row: ImageOfRow,
    sections: Sequence[tuple[str, str]] = (),
    left_out: Mapping[str, tuple[int, int]] | None = None,
    changes: Mapping[int, str] | None = None,
) -> dict[str, float]:
    """Write ``queries.csv``, ``queries.json``, ``retrieval.json`` and ``report.html`` of a split; return the metrics.

    ``compare`` is the similarity, for the results of single queries; ``sections`` are heading and HTML of further
    parts; ``left_out`` gives for each split the samples that could not be used, and the samples with them; ``changes``
    are the steps of the training after which its losses change, and how.
    """
    names = [dataset.record(int(row)).uttid for row in encoded.index]
    images = [names[first] for first in ranked.images.tolist()]
    metrics = write_retrieval(folder.path, ranked.retrieval, images, names) | left_out_metrics(left_out or {})
    both_ways = (("speech_to_image", ranked.retrieval.image), ("image_to_speech", ranked.retrieval.speech))
    queries = [
        _query(direction, int(position), dataset, encoded, ranked, compare, image_of_row)
        for direction, direction_ranks in both_ways
        for position in best_and_worst(direction_ranks.rank.numpy(), EXAMPLES)
    ]
    report = Report(
        title=f"{context.run_name}: retrieval among {ranked.what(split)}",
        metrics=metrics,
        curves={name: points for name, points in folder.curves().items() if name.startswith(CURVES)},
        queries=queries,
        sections=list(sections),
        marks={"train/loss": dict(changes or {})},
        config_yaml=context.config_text,
        info={"config": context.name, **last_start(folder)},
    )
    write_report(folder.path / "report.html", report)
    return metrics


def _query(
    direction: str,
    position: int,
    dataset: SpokenCaptions,
    encoded: Encoded,
    ranked: Ranked,
    compare: Compare,
    image_of_row: ImageOfRow,
) -> Query:
    """Collect one example: the true pair with its matchmap, and the first results."""
    spoken = direction == "speech_to_image"
    direction_ranks = ranked.retrieval.image if spoken else ranked.retrieval.speech
    match = int(direction_ranks.match[position])
    image, speech = (match, position) if spoken else (position, match)
    first = int(ranked.images[image])  # row that shows the image
    frames = max(1, int(encoded.nframes[speech]))
    maps = matchmaps(encoded.image[first : first + 1], encoded.speech[speech : speech + 1, :, :frames])[0]
    # Of the caption with the images, or of the image with the captions; and the row and the image of each result.
    query = speech if spoken else first
    rows, shown = (ranked.images, range(len(ranked.images))) if spoken else (None, ranked.image_of.tolist())
    scores = _scores(encoded, query, spoken, compare, rows)
    record = dataset.record(int(encoded.index[speech]))
    caption = _spoken_caption if encoded.pooling is not None else _written_caption
    return Query(
        direction=direction,
        rank=int(direction_ranks.rank[position]),
        text=record.text or record.uttid,
        image_u8=image_of_row(dataset, int(encoded.index[first])),
        sample_rate=SAMPLE_RATE,
        matchmap=maps.numpy(),
        retrieved=[
            _result(
                dataset,
                int(encoded.index[found if rows is None else rows[found]]),
                float(scores[found]),
                image_of_row,
                correct=shown[found] == image,
            )
            for found in np.argsort(-scores, kind="stable")[:RESULTS].tolist()
        ],
        **caption(dataset, int(encoded.index[speech]), frames, encoded.pooling),
    )


def _spoken_caption(dataset: SpokenCaptions, row: int, frames: int, pooling: int) -> dict[str, Any]:
    """Return what a query says about the time of a spoken caption, of which the model saw ``frames``."""
    waveform, words = dataset.waveform(row), dataset.record(row).alignment
    seconds = frames * pooling * FRAME_SECONDS
    whole = 0.0 if waveform is None else len(waveform) / SAMPLE_RATE
    whole = max(whole, words[-1][1] if words else 0.0)
    # Pooling rounds down and a window is 15 ms longer than its step: only more than that was really cut.
    cut = whole - seconds > (pooling + 3) * FRAME_SECONDS
    return {"waveform": waveform, "seconds": seconds, "words": words, "whole_seconds": whole if cut else None}


def _written_caption(dataset: SpokenCaptions, row: int, frames: int, _pooling: None) -> dict[str, Any]:
    """Return the words of a written caption, which has no time: each is one frame."""
    words = split_words(dataset.record(row).text or "")[:frames]
    return {
        "waveform": None,
        "seconds": None,
        "words": [(float(at), at + 1.0, word) for at, word in enumerate(words)],
    }


def _scores(
    encoded: Encoded, row: int, spoken: bool, compare: Compare, rows: Tensor | None, chunk: int = 256
) -> np.ndarray:
    """Return the similarities of one query with all rows, or some."""
    one = slice(row, row + 1)
    parts = []
    for some in (torch.arange(len(encoded.index)) if rows is None else rows).split(chunk):
        image, speech = (some, one) if spoken else (one, some)
        parts.append(compare(encoded.image[image], encoded.speech[speech], encoded.nframes[speech]).flatten())
    return torch.cat(parts).numpy()


def _result(dataset: SpokenCaptions, row: int, score: float, image_of_row: ImageOfRow, correct: bool) -> Retrieved:
    record = dataset.record(row)
    return Retrieved(image_of_row(dataset, row), record.text or record.uttid, score, correct)
