"""Make videos of where an image responds to each frame of its caption: ``run.py -f experiment_video_example.yaml``."""

import logging
from typing import Annotated

from pydantic import Field
from torch import nn

from common.errors import UserError
from config.limits import Count
from datasets.audio.log_mel import FRAME_SECONDS
from datasets.audio.read import SAMPLE_RATE
from datasets.spoken_captions.records import rows_by_uttid
from engine.context import Context
from engine.logs import progress
from engine.run_folder import RunSettings
from evaluation.report.retrieval import Query
from evaluation.report.video import frames, write_video
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, opened, write_table
from tasks.words_by_drawing.experiments.images import LatentTable

log = logging.getLogger(__name__)
IN_REPORT = 8


def videos(
    model: ModelSource,
    data: DataNode,
    context: Context,
    generator: nn.Module | None = None,
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    count: Count | None = 20,
    share: Annotated[float, Field(gt=0, le=1)] = 0.1,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Write one mp4 for each caption: its matchmap over its image while it is spoken.

    Args:
        model: the trained encoders.
        data: dataset of the captions, with sound files.
        context: given by run.py.
        generator: generates the images; None to read files.
        latents: table of latents whose rows the captions' ids name.
        count: number of captions, all when None.
        share: of the matchmap that is coloured: the strongest cells that hold this part of its sum, 0.1 as published.
        run: folder of the videos.

    Raises:
        UserError: weights, captions or images are missing, captions share a uttid, which names their videos, a caption
            has no sound, or a video cannot be written.
    """
    with opened(context, run, data, model, generator, latents) as experiment:
        rows = experiment.rows(count)
        named = rows_by_uttid([experiment.dataset.record(row) for row in rows], experiment.dataset.source, _file_name)
        table, queries = [], []
        for name, row in progress(named.items(), len(rows), "videos"):
            query = _query(experiment, row)
            seconds = min(len(query.waveform) / SAMPLE_RATE, experiment.dataset[row]["nframes"] * FRAME_SECONDS)
            step = query.seconds / query.matchmap.shape[-1]
            images = frames(query.image_u8, query.matchmap, step, seconds, share)
            write_video(experiment.folder.path / "videos" / name, images, query.waveform, SAMPLE_RATE)
            table.append([name, f"{seconds:.2f}", len(images), query.text])
            if len(queries) < IN_REPORT:
                queries.append(query)
        write_table(experiment.folder.path / "videos.csv", ["file", "seconds", "frames", "text"], table)
        log.info("%d videos in %s", len(table), experiment.folder.path / "videos")
        metrics = {"videos": float(len(table)), "seconds": sum(float(line[1]) for line in table)}
        experiment.finish(f"{len(table)} captions and where their images respond", metrics, queries=queries)


def _file_name(uttid: str) -> str:
    return uttid.replace("/", "_").replace("\\", "_") + ".mp4"  # one word, without folders


def _query(experiment: Experiment, row: int) -> Query:
    record = experiment.dataset.record(row)
    waveform = experiment.dataset.waveform(row)
    if waveform is None:
        raise UserError(f"caption {record.uttid} has no sound to play; give a set with sound files, not features alone")
    sample = experiment.dataset[row]
    matchmap, step = experiment.model.matchmap(experiment.images.images([row])[0], sample["mel"], sample["nframes"])
    return Query(
        direction="speech_to_image",
        rank=0,
        text=record.text or record.uttid,
        image_u8=experiment.image_u8(row),
        waveform=waveform,
        sample_rate=SAMPLE_RATE,
        matchmap=matchmap.numpy(),
        seconds=matchmap.shape[-1] * step,
        words=record.alignment,
        retrieved=[],
    )
