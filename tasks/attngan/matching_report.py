"""Show what a matching model learned: retrieval, words on images, and words that were silenced.

Shape letters: B images and captions, L words, D embedding size, H, W regions, R pixels.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from common.files import write_whole
from datasets.text_image.dataset import CaptionedImages
from engine.context import Context
from engine.run_folder import RunFolder
from evaluation.attention_sheet import attention_sheet
from evaluation.frechet import to_uint8
from evaluation.report.parts.left_out_samples import left_out_metrics
from evaluation.report.retrieval import Query, Report, Retrieved, best_and_worst, write_report
from evaluation.retrieval.different_images import Ranked
from evaluation.retrieval.tables import csv_text, write_retrieval
from models.damsm import EncodedImages, EncodedText
from models.word_region_similarity import cosine
from tasks.attngan.matching import Matching
from tasks.results import last_start

EXAMPLES = 4  # best and worst queries of each direction in the report
RESULTS = 5  # of each query
LOSSES = ("loss", "words", "sentences", "recall@")
CURVES = ("train/", "learning_rate/", *(f"validation/{name}" for name in LOSSES))


class Encoder(Protocol):
    """The task, as far as its report needs it."""

    text: nn.Module
    matching: Matching
    device: torch.device

    def encode(self, batch: dict[str, Any]) -> tuple[EncodedText, EncodedImages]:
        """Encode the captions and images of a batch."""


class Pairs(Protocol):
    """A split as sentences (N, D) and whole images (N, D), with the rows (N,) of the dataset."""

    sentences: Tensor
    images: Tensor
    index: Tensor
    losses: dict[str, float]


def attention_sheet_of(dataset: CaptionedImages, image: Tensor, tokens: Tensor, maps: Tensor) -> np.ndarray:
    """Return a sheet of an image (3, R, R) in [-1, 1] with the map of each of its caption's words, (H, W, 3) uint8.

    ``tokens`` (L,) are padded with 0 and ``maps`` (L, H, W) are the words' weights.
    """
    words = words_of(dataset, tokens)
    shown = maps[: len(words)].detach().float().cpu().numpy()
    return attention_sheet(to_uint8(image).permute(1, 2, 0).cpu().numpy(), shown, words)


def words_of(dataset: CaptionedImages, tokens: Tensor) -> list[str]:
    """Return the words of a caption's tokens (L,), without the padding."""
    return [dataset.vocabulary.words[number] for number in tokens.tolist() if number]


def write_matching_report(
    folder: RunFolder,
    context: Context,
    task: Encoder,
    dataset: CaptionedImages,
    split: str,
    encoded: Pairs,
    ranked: Ranked,
    left_out: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """Write ``report.html``, the tables of the retrieval and, where words can be silenced, ``words.csv``.

    Returns the metrics: retrieval, losses, samples that were left out and the number of silenced words.
    """
    names = [dataset.content.names[row] for row in encoded.index.tolist()]
    images = [names[first] for first in ranked.images.tolist()]
    retrieval = ranked.retrieval
    metrics = write_retrieval(folder.path, retrieval, images, names) | encoded.losses | left_out_metrics(left_out)
    if hasattr(task.text, "silenced"):
        metrics |= _write_words(folder, task.text, dataset.vocabulary.words)
    queries = [
        _query(direction, position, task, dataset, encoded, ranked)
        for direction, ranks in (("speech_to_image", retrieval.image), ("image_to_speech", retrieval.speech))
        for position in best_and_worst(ranks.rank.numpy(), EXAMPLES)
    ]
    report = Report(
        title=f"{context.run_name}: captions and images of {ranked.what(split)}",
        metrics=metrics,
        curves={name: points for name, points in folder.curves().items() if name.startswith(CURVES)},
        queries=queries,
        config_yaml=context.config_text,
        info={
            "config": context.name,
            "weights": f"of the epoch with the best {context.values['trainer'].get('best_by') or 'recall@10'} of the "
            "validation split" if "trainer" in context.values else "as given",
            **last_start(folder),
        },
    )  # fmt: skip
    write_report(folder.path / "report.html", report)
    return metrics


def _write_words(folder: RunFolder, text: nn.Module, words: list[str]) -> dict[str, float]:
    """Write which words pass the reducing layer of a text encoder, the strongest first; return how many do not."""
    found = text.silenced(words)
    rows = [(word, f"{share:.4f}", "") for word, share in found.kept.items()]
    rows += [(word, f"{share:.4f}", "silenced") for word, share in found.silenced.items()]
    write_whole(folder.path / "words.csv", csv_text(("word", "share_of_largest_norm", "silenced"), rows).encode())
    return {"silenced_words": float(len(found.silenced)), "kept_words": float(len(found.kept))}


def _query(
    direction: str, position: int, task: Encoder, dataset: CaptionedImages, encoded: Pairs, ranked: Ranked
) -> Query:
    """Collect one example: a right pair with where its words attend, and the first results."""
    given = direction == "speech_to_image"
    found_ranks = ranked.retrieval.image if given else ranked.retrieval.speech
    image = int(ranked.image_of[position]) if given else position
    shown = position if given else int(ranked.images[image])  # row of the split whose image and caption are shown
    row = int(encoded.index[shown])
    maps, words = _attention(task, dataset, row)
    # Of the caption with the images, or of the image with the captions; and the row and the image of each result.
    query, others, rows, image_of = (
        (encoded.sentences[shown], encoded.images[ranked.images], ranked.images, torch.arange(len(ranked.images)))
        if given
        else (encoded.images[shown], encoded.sentences, torch.arange(len(ranked.image_of)), ranked.image_of)
    )
    scores = cosine(query[None], others).numpy()
    return Query(
        direction=direction,
        rank=int(found_ranks.rank[position]),
        text=" ".join(words),
        image_u8=_image(dataset, row),
        waveform=None,
        sample_rate=1,
        matchmap=maps,
        seconds=None,
        words=[(float(at), at + 1.0, word) for at, word in enumerate(words)],
        retrieved=[
            Retrieved(
                _image(dataset, int(encoded.index[rows[found]])),
                dataset.text(int(encoded.index[rows[found]])),
                float(scores[found]),
                correct=int(image_of[found]) == image,
            )
            for found in np.argsort(-scores, kind="stable")[:RESULTS].tolist()
        ],
    )


@torch.no_grad()
def _attention(task: Encoder, dataset: CaptionedImages, row: int) -> tuple[np.ndarray, list[str]]:
    """Return where each word of an image's first caption attends, (H, W, L), and the words."""
    sample = dataset[row]
    batch = {name: value[None] for name, value in sample.items() if isinstance(value, Tensor)}
    text, image = task.encode(batch | {"ntokens": torch.tensor([sample["ntokens"]])})
    found = task.matching.attention(text, image)[0]
    return found.permute(1, 2, 0).float().cpu().numpy(), words_of(dataset, sample["tokens"])


def _image(dataset: CaptionedImages, row: int) -> np.ndarray:
    return to_uint8(dataset[row][f"image_{dataset.resolutions[-1]}"]).permute(1, 2, 0).numpy()
