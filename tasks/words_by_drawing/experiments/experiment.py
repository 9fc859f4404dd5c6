"""Begin and end every experiment: read weights and data, write metrics, tables and report."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from common import distributed
from common.files import written_whole
from config import Deferred
from datasets.audio.log_mel import PAD_DB
from datasets.spoken_captions.dataset import SpokenCaptions
from engine import seeding
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunFolder, RunSettings
from evaluation.report.retrieval import Query
from gan.images import to_uint8
from models.speech_maps import SpeechMaps
from tasks.results import results_folder, write_results
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.encoders import Trained, load_model
from tasks.words_by_drawing.experiments.images import Images, LatentTable, leave_out_edited

DataNode = Annotated[Callable[..., SpokenCaptions], Deferred("train", "on_error")]
DRY_ROWS = 2


@dataclass
class Experiment:
    """Weights, captions and images of an experiment, and the folder that its results go to."""

    model: Trained | None  # the trained encoders; None for jobs that need none
    dataset: SpokenCaptions  # the captions
    images: Images  # their images
    folder: RunFolder  # the run
    context: Context  # the config
    device: torch.device  # of all networks

    def image_u8(self, row: int) -> np.ndarray:
        """Return the image of a row, (R, R, 3) uint8."""
        return to_uint8(self.images.images([row])[0]).numpy()

    def rows(self, count: int | None) -> range:
        """Return the first ``count`` rows of the captions (all when None), two in a dry run."""
        most = min(len(self.dataset), count or len(self.dataset))
        return range(min(most, DRY_ROWS) if self.context.dry_run else most)

    def encode_speech(self, rows: Sequence[int]) -> SpeechMaps:
        """Encode the captions of some rows together, in their order."""
        samples = [self.dataset[row] for row in rows]
        longest = max(sample["mel"].shape[1] for sample in samples)
        mels = [F.pad(sample["mel"], (0, longest - sample["mel"].shape[1]), value=PAD_DB) for sample in samples]
        return self.model.encode_speech(torch.stack(mels), torch.tensor([sample["nframes"] for sample in samples]))

    def finish(
        self,
        title: str,
        metrics: dict[str, float],
        sections: Sequence[tuple[str, str]] = (),
        queries: Sequence[Query] = (),
    ) -> None:
        """Write metrics.json and report.html and show where they are; a dry run only logs."""
        weights = self.model.name if self.model else None
        write_results(self.folder, self.context, title, metrics, sections, queries, weights)


@contextmanager
def opened(
    context: Context,
    run: RunSettings,
    data: DataNode,
    model: ModelSource | None = None,
    generator: nn.Module | None = None,
    latents: LatentTable | None = None,
    seed: int = 0,
) -> Iterator[Experiment]:
    """Yield an experiment with its weights, captions, images and run folder; a dry run gets a temporary folder."""
    device = distributed.pick_device()
    seeding.seed_all(seed, 0)
    trained = load_model(model, device) if model is not None else None
    dataset = data(train=False, on_error="error")
    if generator is not None:
        leave_out_edited(dataset)
    images = Images(dataset, generator, latents or LatentTable(), device)
    with results_folder(context, run) as folder:
        yield Experiment(trained, dataset, images, folder, context, device)


def in_batches(rows: Sequence[int], size: int, what: str) -> Iterator[Sequence[int]]:
    """Yield at most ``size`` rows at a time and show how far it has come."""
    firsts = range(0, len(rows), size)
    for first in progress(firsts, len(firsts), what):
        yield rows[first : first + size]


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file, whole or not at all."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
