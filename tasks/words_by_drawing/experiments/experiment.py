"""What every experiment does before and after its own part: read weights and data, write metrics, tables and report."""

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
from config import Deferred
from datasets.audio.log_mel import PAD_DB
from datasets.loading.rows import Sample
from datasets.spoken_captions.dataset import SpokenCaptions
from engine import seeding
from engine.context import Context
from engine.run_folder import RunFolder, RunSettings
from evaluation.report.retrieval import Query
from gan.images import to_uint8
from models.speech_maps import SpeechMaps
from tasks.results import results_folder, show_results, write_results
from tasks.words_by_drawing.experiments.encoders import ModelSource, Trained, load_model
from tasks.words_by_drawing.experiments.images import Images, LatentTable, leave_out_edited

DataNode = Annotated[Callable[..., SpokenCaptions], Deferred("train", "on_error")]
DRY_ROWS = 2


@dataclass
class Experiment:
    """Weights, captions and images of an experiment, and the folder that its results go to.

    Attributes:
        model: the trained encoders; None for jobs that need none.
        dataset: the captions.
        images: their images.
        folder: the run.
        context: the config.
        device: where everything runs.
    """

    model: Trained | None
    dataset: SpokenCaptions
    images: Images
    folder: RunFolder
    context: Context
    device: torch.device

    def image_u8(self, row: int) -> np.ndarray:
        """The image of a row, (R, R, 3) uint8.

        Args:
            row: of the dataset.

        Returns:
            (R, R, 3) uint8.
        """
        return to_uint8(self.images.images([row])[0]).numpy()

    def rows(self, count: int | None) -> range:
        """The first ``count`` rows of the captions (all when None), two in a dry run."""
        most = min(len(self.dataset), count or len(self.dataset))
        return range(min(most, DRY_ROWS) if self.context.dry_run else most)

    def sample(self, row: int) -> Sample:
        """The features of one caption: ``mel`` (40, T0) and ``nframes``.

        Args:
            row: of the dataset.

        Returns:
            The two by name.
        """
        return self.dataset[row]

    def encode_speech(self, rows: Sequence[int]) -> SpeechMaps:
        """Encode the captions of some rows together.

        Args:
            rows: of the dataset.

        Returns:
            The maps, in the order of ``rows``.
        """
        samples = [self.sample(row) for row in rows]
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
        """Write metrics.json and report.html and show where they are; a dry run only logs.

        Args:
            title: of the report.
            metrics: number by name.
            sections: heading and HTML of each.
            queries: to show with their answers.
        """
        weights = self.model.name if self.model else None
        write_results(self.folder, self.context, title, metrics, sections, queries, weights)

    def show(self, metrics: dict[str, float]) -> None:
        """Print the metrics and where everything is.

        Args:
            metrics: number by name.
        """
        show_results(self.folder, metrics)


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
    """Read what an experiment needs and make its run folder; a dry run gets a temporary one.

    Args:
        context: given by run.py.
        run: where results go.
        data: dataset node.
        model: where the weights come from.
        generator: generates the images; None to read files.
        latents: which latents the ids mean.
        seed: of everything random.

    Yields:
        The experiment.

    Raises:
        UserError: weights, captions or images are missing or do not fit, or the folder holds a training run.
    """
    device = distributed.pick_device()
    seeding.seed_all(seed, 0)
    trained = load_model(model, device) if model is not None else None
    dataset = data(train=False, on_error="error")
    if generator is not None:
        leave_out_edited(dataset)
    images = Images(dataset, generator, latents or LatentTable(), device)
    with results_folder(context, run) as folder:
        yield Experiment(trained, dataset, images, folder, context, device)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file.

    Args:
        path: its folder exists.
        header: names of the columns.
        rows: a value for each column.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
