"""Measure retrieval among 500 pairs, as the paper reports: ``python run.py -f words_by_drawing/evaluate.yaml``."""

import logging
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from config.limits import BatchSize
from datasets.loading.loader import Loader
from datasets.spoken_captions.dataset import SpokenCaptions
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.report.retrieval import write_metrics
from models.speech_maps import SpeechMaps
from tasks.results import show_results
from tasks.speech_image.encode_split import Encoded, encode_all
from tasks.speech_image.rank_split import rank_split
from tasks.speech_image.report import write_retrieval_report
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.experiment import DataNode, opened
from tasks.words_by_drawing.experiments.images import LatentTable

log = logging.getLogger(__name__)


def evaluate(
    model: ModelSource,
    data: DataNode,
    context: Context,
    generator: nn.Module | None = None,
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    pairs: Annotated[int, Field(ge=2)] | None = 500,
    batch_size: BatchSize = 16,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Find the image of each caption and the caption of each image among the first pairs of a set.

    Args:
        model: the trained encoders.
        data: dataset of the held-out pairs.
        context: given by run.py.
        generator: generates the images; None to read files.
        latents: table of latents whose rows the captions' ids name.
        pairs: number of pairs, 500 as published; None for all. The public code takes the last 500 of the first 504 of
            the validation list: ``data.first`` and ``data.last``.
        batch_size: pairs encoded at a time.
        run: folder of the report.

    Raises:
        UserError: weights, captions or images are missing or do not fit.
    """
    with opened(context, run, data, model, generator, latents) as experiment:
        trained, folder = experiment.model, experiment.folder
        count = len(experiment.rows(pairs))
        if pairs is not None and count < pairs and not context.dry_run:
            log.warning(
                "the set has %d pairs, fewer than pairs=%d: recall is among those, see its chance", count, pairs
            )
        loader = Loader(experiment.dataset, min(batch_size, count), seed=0, train=False)

        def encode(batch: dict[str, Any], _dataset: SpokenCaptions) -> tuple[Tensor, SpeechMaps]:
            images = experiment.images.images(batch["index"].tolist())
            return trained.encode_images(images), trained.encode_speech(batch["mel"], batch["nframes"])

        encoded = _first(encode_all(loader, encode, limit=-(-count // loader.batch_size)), count)
        ids = experiment.images.image_ids(encoded.index.tolist())
        found = rank_split(encoded, ids, trained.similarity, experiment.device)
        metrics = write_retrieval_report(
            folder, context, experiment.dataset, encoded, found, trained.similarity, "held-out",
            lambda _dataset, row: experiment.image_u8(row),
        )  # fmt: skip
        write_metrics(folder.path, metrics)
        show_results(folder, metrics)


def _first(encoded: Encoded, count: int) -> Encoded:
    """Keep the first pairs."""
    parts = (part[:count] if isinstance(part, torch.Tensor) else part for part in encoded)
    return Encoded(*parts)
