"""Measure how well the layers of a trained model distinguish phones: ``python run.py -f resdavenet_vq/abx.yaml``.

The ABX test of the ZeroSpeech challenges, as the paper of ResDAVEnet-VQ (arXiv:1911.09602) reports it for the layers of
its models, scored in place by fastabx: all layers are encoded in one pass, and every layer and distance is measured on
the same triplets. Features that were dumped as text (resdavenet_vq/dump.yaml, or by another program) are scored too.
"""

import logging
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple
from unicodedata import normalize

from pydantic import Field, PositiveFloat, PositiveInt

import config
from common import distributed
from config.limits import BatchSize, Workers
from datasets.loading.rows import OnError
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import Captions
from engine.context import Context
from engine.logs import progress, say
from engine.run_folder import RunFolder, RunSettings
from evaluation.abx.frames import FrameFile
from evaluation.abx.items import AbxError, Items, Span, read_items
from evaluation.abx.score import (
    Comparing,
    Distance,
    Speakers,
    Triplets,
    fastabx,
    find_triplets,
    needed_utterances,
    score,
)
from evaluation.abx.tables import AbxRow, as_text, write_abx_tables
from evaluation.abx.zerospeech import Bitrate, read_features
from evaluation.report.abx import abx_section
from tasks.resdavenet_vq.abx_items import write_world_items
from tasks.resdavenet_vq.extraction import extract
from tasks.resdavenet_vq.layers import LOGMEL, SpeechModel, load_speech
from tasks.resdavenet_vq.utterances import encoded_seconds, sound_seconds, utterance_names
from tasks.results import results_folder, write_results
from tasks.speech_image.trained import ModelSource

log = logging.getLogger(__name__)
COVERED = 0.7  # share of an utterance that its items reach, below which frame_seconds is doubted
FEW_TRIPLETS = 1000
SAID_NEGATIVE = 0.01  # share of what is below zero from which it is reported


class Stored(NamedTuple):
    """The frames of one layer on disk, of every utterance that is needed, and their bitrate, counted as dump does."""

    frames: FrameFile
    bitrate: Bitrate


def abx(
    data: Captions,
    context: Context,
    layers: Annotated[list[str], Field(min_length=1)],
    model: ModelSource | None = None,
    items: Path | None = None,
    span: Span = "triphone",
    speakers: Annotated[list[Speakers], Field(min_length=1)] = ["within", "across"],  # noqa: B006  never changed
    distances: Annotated[list[Distance], Field(min_length=1)] = ["cosine", "kl"],  # noqa: B006  never changed
    comparing: Comparing = Comparing(),  # noqa: B008  never changed
    name_parts: PositiveInt = 1,
    on_error: OnError = "error",
    batch_size: BatchSize = 16,
    workers: Workers = 0,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Measure ABX errors of some layers and write tables, metrics and a report.

    Args:
        data: dataset of the utterances; without images it loads faster.
        context: given by run.py.
        layers: names of layers such as ``conv2`` and ``quant2``; ``logmel`` is the input itself.
        model: the trained speech encoder; None for ``logmel`` alone.
        items: the item file, whose files are utterances by the names of their sound files or by their uttid; None
            makes one of the phones of the embedded world that the data come from.
        span: of the items that are made, see ``resdavenet_vq/abx_items.yaml``.
        speakers: compare within speakers, across them, or both.
        distances: of frames, ``cosine`` (the angle) and ``kl`` (Kullback-Leibler).
        comparing: choice of the triplets, and memory for them.
        name_parts: parts of a sound file's path that make its name.
        on_error: action at sounds that cannot be decoded: ``error`` stops; with ``skip`` items of them are an
            error.
        batch_size: utterances encoded at a time at most.
        workers: loading processes.
        run: folder of all results.

    Raises:
        UserError: this Python is too old for fastabx, weights, data or items are missing or do not fit each other, the
            model lacks a layer, or there are no triplets.
    """
    fastabx()
    trained = load_speech(model, distributed.pick_device())
    trained.check(layers)
    dataset = data(train=False, on_error=on_error)
    names = _rows_by_name(dataset, name_parts)
    with results_folder(context, run) as folder:
        listed = _items(items, dataset, folder, span)
        lasting = encoded_seconds(dataset)
        listed.check({name: lasting[row] for name, row in names.items()}, str(dataset.source))
        triplets = [find_triplets(listed, kind, comparing) for kind in speakers]
        wanted = needed_utterances(triplets)
        if context.dry_run:
            _try(trained, dataset, layers, [names[min(wanted)]])
            return
        with tempfile.TemporaryDirectory(prefix="frames_", dir=folder.path) as scratch:
            rows_of = {name: names[name] for name in wanted}
            stored = _encode(trained, dataset, layers, rows_of, Path(scratch), batch_size, workers)
            rows = measure(triplets, stored, distances)
        _finish(folder, context, rows, trained.name)


def score_folder(
    items: Path,
    features: Path,
    frame_seconds: PositiveFloat,
    context: Context,
    speakers: Annotated[list[Speakers], Field(min_length=1)] = ["within", "across"],  # noqa: B006  never changed
    distances: Annotated[list[Distance], Field(min_length=1)] = ["cosine", "kl"],  # noqa: B006  never changed
    comparing: Comparing = Comparing(),  # noqa: B008  never changed
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Measure ABX errors of features that were dumped as text, a file ``<name>.txt`` for each utterance.

    Args:
        items: the item file; it names text files, those of subfolders also by their paths below ``features``.
        features: folder of the text files, or above their folders.
        frame_seconds: that each line covers, such as 0.02.
        context: given by run.py.
        speakers: compare within speakers, across them, or both.
        distances: of frames.
        comparing: choice of the triplets, and memory for them.
        run: folder of all results.

    Raises:
        AbxError: this Python is too old for fastabx, ``features`` is no folder or lacks a file, a file is damaged, an
            item runs past its features, or there are no triplets.
    """
    fastabx()
    if not features.is_dir():
        raise AbxError(f"features: found {features}, expected a folder of .txt files; unzip a submission first")
    with results_folder(context, run) as folder, tempfile.TemporaryDirectory(dir=folder.path) as scratch:
        listed = read_items(items)
        texts = _texts(features)
        there = dict.fromkeys(texts, float("inf"))
        listed.check(there, str(features))
        triplets = [find_triplets(listed, kind, comparing) for kind in speakers]
        stored = Stored(FrameFile(Path(scratch) / "frames", features.name), Bitrate())
        wanted = sorted(needed_utterances(triplets))
        for name in progress(wanted, len(wanted), "reading"):
            values = read_features(texts[name])
            stored.frames.add(name, values, frame_seconds)
            stored.bitrate.add(values, len(values) * frame_seconds)
        lasting = {name: stored.frames.seconds_of(name) + frame_seconds for name in wanted}
        listed.check(there | lasting, str(features))
        _doubt_seconds(listed, lasting, frame_seconds)
        rows = measure(triplets, {features.name: stored}, distances)
        _finish(folder, context, rows, str(features))


def _texts(folder: Path) -> dict[str, Path]:
    """Return text files in a folder and below it, by their paths without ending, and by names that only one has."""
    paths = {_name(path.relative_to(folder).with_suffix("").as_posix()): path for path in sorted(folder.rglob("*.txt"))}
    names = Counter(_name(path.stem) for path in paths.values())
    return {_name(path.stem): path for path in paths.values() if names[_name(path.stem)] == 1} | paths


def _name(text: str) -> str:
    """Write a name in the form in which item files are read, whatever form the file system keeps."""
    return normalize("NFC", text)


def _doubt_seconds(listed: Items, lasting: dict[str, float], frame_seconds: float) -> None:
    """Warn where the items of most utterances end long before their features do."""
    ends: dict[str, float] = defaultdict(float)
    for item in listed.rows:
        ends[item.file] = max(ends[item.file], float(item.offset))
    covered = statistics.median(ends[name] / lasting[name] for name in lasting)
    if covered < COVERED:
        log.warning(
            "items end after %.0f %% of their utterances (median) if a line is %g s; is frame_seconds right?",
            100 * covered, frame_seconds,
        )  # fmt: skip


def measure(triplets: Sequence[Triplets], stored: dict[str, Stored], distances: Sequence[Distance]) -> list[AbxRow]:
    """Score every layer with every distance on the same triplets, and log each score as it comes."""
    rows = []
    for layer, (frames, bitrate) in stored.items():
        below = frames.negative / (frames.total or 1)
        if "kl" in distances and layer != LOGMEL and below > SAID_NEGATIVE and triplets[0].comparing.kl == "shares":
            log.warning(
                "%s: %.0f %% of it is below zero, which counts as zero in distributions for kl; comparing.kl=softmax "
                "takes negative values too", layer, 100 * below,
            )  # fmt: skip
        for distance in distances:
            for found in triplets:
                result = score(found, frames, distance, decibels=layer == LOGMEL)
                seconds, rate = float(frames.seconds), bitrate.value
                rows.append(AbxRow(layer, distance, found.speakers, result, len(found.used), seconds, rate))
                log.info(
                    "%s, %s %s speakers: %.2f %% (%d triplets in %.1f s)",
                    layer, distance, found.speakers, 100 * result.error, result.triplets, result.seconds,
                )  # fmt: skip
                if result.triplets < FEW_TRIPLETS:
                    log.warning(
                        "%d triplets are few: the error %s speakers says little", result.triplets, found.speakers
                    )
    return rows


def _rows_by_name(dataset: SpokenCaptions, parts: int) -> dict[str, int]:
    """Return rows by an uttid that only one has, and by the names of their sound files, which count before it."""
    uttids = [_name(dataset.record(row).uttid) for row in range(len(dataset))]
    times = Counter(uttids)
    of_one = {uttid: row for row, uttid in enumerate(uttids) if times[uttid] == 1}
    return of_one | {name: row for row, name in enumerate(utterance_names(dataset, parts))}


def _items(path: Path | None, dataset: SpokenCaptions, folder: RunFolder, span: Span) -> Items:
    if path is not None:
        return read_items(path)
    made = folder.path / "world.item"
    log.info("%d items in %s", write_world_items(dataset.source, made, span), config.short(made))
    return read_items(made)


def _encode(
    model: SpeechModel,
    dataset: SpokenCaptions,
    layers: Sequence[str],
    names: dict[str, int],
    scratch: Path,
    batch_size: int,
    workers: int,
) -> dict[str, Stored]:
    """Encode the utterances that are needed and put their frames on disk."""
    called = defaultdict(list)
    for name, row in names.items():
        called[row].append(name)
    stored = {layer: Stored(FrameFile(scratch / layer, layer), Bitrate()) for layer in layers}
    options = {"whole_frames": True, "rows": sorted(called), "batch_size": batch_size, "workers": workers}
    for one in extract(model, dataset, layers, **options):
        seconds = sound_seconds(dataset, [one.row], [one.nframes])[0]
        for layer, found in one.layers.items():
            for name in called[one.row]:
                stored[layer].frames.add(name, found.features, found.seconds)
            stored[layer].bitrate.add(found.features, seconds)
        del called[one.row]
    if called:
        raise AbxError(
            f"{len(called)} utterances that items name cannot be read, one is {next(iter(called.values()))[0]}: mend "
            "the files, or remove their items"
        )
    return stored


def _try(model: SpeechModel, dataset: SpokenCaptions, layers: Sequence[str], rows: Sequence[int]) -> None:
    """Encode a few utterances, as a dry run does."""
    for one in extract(model, dataset, layers, rows=rows):
        shapes = {name: found.features.shape for name, found in one.layers.items()}
        log.info("dry run: %s, frames and channels %s", dataset.record(one.row).uttid, shapes)


def _finish(folder: RunFolder, context: Context, rows: Sequence[AbxRow], weights: str) -> None:
    if context.dry_run:
        log.info("dry run:\n%s", as_text(rows))
        return
    write_abx_tables(folder.path, rows)
    metrics = {f"abx/{row.layer}/{row.distance}_{row.speakers}": row.result.error for row in rows}
    metrics |= {f"bitrate/{row.layer}": row.bitrate for row in rows}
    short = {row.layer: row.result.short for row in rows if row.result.short}
    if short:
        log.warning("items shorter than a frame, compared by the one frame they lie in: %s", short)
    sections = [("ABX phone discrimination", abx_section(rows))]
    write_results(folder, context, "how well phones are distinguished", metrics, sections, weights=weights)
    say(as_text(rows))
