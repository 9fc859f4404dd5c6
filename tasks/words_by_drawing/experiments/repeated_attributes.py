"""Make table 1 of the paper: does a word, said again and again, find the images that show it?

``python run.py -f words_by_drawing/repeated_attributes.yaml``. For each of 15 attribute words, up to 500 images with
and 500 without it are chosen by the segmenter, in the order of the set; all models should be compared on one list,
which is kept beside the report and can be given again. The spoken words come from the published recordings
(``repetition_audios``) or from the synthesiser. As published, an image's score is the mean over all frames of the
maximum over the image.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from common.errors import UserError
from common.text_files import read_text
from config.limits import Count
from datasets.audio.log_mel import check_usable, log_mel, read_log_mel
from datasets.media_files import write_json
from datasets.spoken_captions.records import rows_by_uttid
from datasets.world.speech.synthesise import Synthesiser
from datasets.world.speech.voices import voice
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.attributes import WORDS, Limits, attribute_table, presence
from evaluation.report.attributes import attributes_section
from models.segmenter.labels import Segmenter, ready_segmenter
from models.speech_maps import SpeechMaps
from tasks.speech_image.trained import ModelSource
from tasks.words_by_drawing.experiments.encoders import Trained
from tasks.words_by_drawing.experiments.experiment import DataNode, Experiment, in_batches, opened, write_table
from tasks.words_by_drawing.experiments.images import LatentTable

log = logging.getLogger(__name__)
BATCH = 32
REPEATS = 8  # of a word when the synthesiser says it; the published recordings repeat it for some seconds
EXAMPLES = 5
Listed = dict[str, dict[str, list[int]]]  # word -> "with" and "without" -> rows


def repeated_attributes(
    model: ModelSource,
    data: DataNode,
    segmenter: Segmenter,
    context: Context,
    generator: nn.Module | None = None,
    latents: LatentTable = LatentTable(),  # noqa: B008  never changed
    images_each: Count = 500,
    audio: Path | None = None,
    speech: Literal["synthetic", "amt"] = "synthetic",
    voices: Count = 1,
    images: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008  never changed
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Compare how images with and without an attribute respond to its word.

    Args:
        model: the trained encoders.
        data: dataset of the held-out pairs, whose images are used.
        segmenter: says which image shows what.
        context: given by run.py.
        generator: generates the images; None to read files.
        latents: table of latents whose rows the captions' ids name.
        images_each: with a word, and without, 500 as published.
        audio: folder of the published recordings ``<WORD>_synthetic.wav`` and ``<WORD>_amt.wav``; None to synthesise.
        speech: which of the published recordings.
        voices: speakers who say each word when it is synthesised; scores are averaged over them.
        images: ``images.json`` of an earlier run, so that models are compared on the same images.
        limits: pixels from which an attribute is there, or absent.
        run: folder of the report.

    Raises:
        UserError: weights, images or recordings are missing, captions share a uttid, which names their images, or too
            few images show an attribute.
    """
    with opened(context, run, data, model, generator, latents) as experiment:
        rows_by_uttid(experiment.dataset.records, experiment.dataset.source)  # images.json names images by it
        ready_segmenter(segmenter, experiment.device)
        spoken = {word: list(_spoken(experiment.model, word, audio, speech, voices)) for word in WORDS}
        each = 4 if context.dry_run else images_each
        listed = _read_list(images, experiment) if images else find_images(experiment, segmenter, each, limits)
        write_json(experiment.folder.path / "images.json", _named(experiment, listed))
        scores = _scores(experiment, listed, spoken)
        found = {w: tuple([scores[w][row] for row in listed[w][side]] for side in ("with", "without")) for w in WORDS}
        metrics, rows = attribute_table(found)
        write_table(experiment.folder.path / "attributes.csv", ["kind", "word", "accuracy", "pairs"], rows)
        best = {word: sorted(one, key=lambda row, one=one: -one[row])[:EXAMPLES] for word, one in scores.items()}
        examples = {word: [experiment.image_u8(row) for row in best[word]] for word in WORDS}
        section = ("Words and images", attributes_section(rows, examples))
        experiment.finish("images that respond to a repeated word", metrics, [section])


@torch.no_grad()
def find_images(experiment: Experiment, segmenter: Segmenter, each: int, limits: Limits) -> Listed:
    """Choose ``each`` images with and without each attribute, in the order of the set; fewer where it has no more."""
    listed: Listed = {word: {"with": [], "without": []} for word in WORDS}
    channels = [segmenter.labels.index(word) for word in WORDS]
    rows = range(len(experiment.dataset))[: BATCH if experiment.context.dry_run else None]
    for batch in in_batches(rows, BATCH, "looking at images"):
        maps = segmenter.segment(experiment.images.images(batch))
        counts = maps[:, channels].flatten(2).sum(2).cpu().numpy()
        for row, there in zip(batch, presence(counts, maps[0, 0].numel(), limits=limits), strict=True):
            for word, value in zip(WORDS, there, strict=True):
                side = listed[word]["with" if value > 0 else "without"]
                if value != 0 and len(side) < each:
                    side.append(row)
        if all(len(side) == each for sides in listed.values() for side in sides.values()):
            break
    for word, sides in listed.items():
        if min(map(len, sides.values())) < each:
            log.warning("%s: %d images with it, %d without", word, len(sides["with"]), len(sides["without"]))
    return listed


def _spoken(model: Trained, word: str, folder: Path | None, kind: str, voices: int) -> Iterator[SpeechMaps]:
    """Encode the recordings of a word, one after the other; as published without any padding."""
    if folder is not None:
        path = folder / f"{word.upper()}_{kind}.wav"
        mels = [read_log_mel(path)]
        check_usable(mels[0], path)
    else:
        text = " ".join([f"{word},"] * REPEATS).rstrip(",")
        spoken = (Synthesiser().speak(text, voice(seed)).samples for seed in range(voices))
        mels = [log_mel(torch.from_numpy(np.ascontiguousarray(waveform))).values for waveform in spoken]
    for mel in mels:
        with torch.no_grad():
            maps = model.speech(mel[None].to(model.device), torch.tensor([mel.shape[1]], device=model.device))
        yield SpeechMaps(maps.features, torch.full_like(maps.nframes, maps.features.shape[-1]))


def _scores(experiment: Experiment, listed: Listed, spoken: dict[str, list[SpeechMaps]]) -> dict[str, dict[int, float]]:
    """Score every image against the words that it is listed for; each image is encoded once."""
    wanted = {word: {row for side in sides.values() for row in side} for word, sides in listed.items()}
    scores: dict[str, dict[int, float]] = {word: {} for word in WORDS}
    model = experiment.model
    for batch in in_batches(sorted(set().union(*wanted.values())), BATCH, "scoring"):
        maps = model.encode_images(experiment.images.images(batch))
        for word, recordings in spoken.items():
            chosen = [index for index, row in enumerate(batch) if row in wanted[word]]
            if not chosen:
                continue
            values = [model.similarity(maps[chosen], one.features, one.nframes)[:, 0].float() for one in recordings]
            mean = torch.stack(values).mean(0).tolist()
            scores[word] |= {batch[index]: value for index, value in zip(chosen, mean, strict=True)}
    return scores


def _named(experiment: Experiment, listed: Listed) -> dict[str, dict[str, list[str]]]:
    """Return rows as names, which hold for other orders of the set too."""
    record = experiment.dataset.record
    return {
        word: {side: [record(row).uttid for row in rows] for side, rows in sides.items()}
        for word, sides in listed.items()
    }


def _read_list(path: Path, experiment: Experiment) -> Listed:
    """Read ``images.json`` of an earlier run."""
    rows = {experiment.dataset.record(row).uttid: row for row in range(len(experiment.dataset))}
    try:
        content = json.loads(read_text(path))
        named = {word: {side: list(content[word][side]) for side in ("with", "without")} for word in WORDS}
        missing = [name for sides in named.values() for side in sides.values() for name in side if name not in rows]
    except FileNotFoundError as error:
        raise UserError(f"images: there is no file {path}; give images.json of an earlier run, or null") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"images: {path} is no list of an earlier run ({error!r:.60}); give its images.json") from error
    if missing:
        raise UserError(f"images: {path} names {missing[0]!r}, which this set lacks; give the list of the same set")
    return {w: {side: [rows[name] for name in names] for side, names in sides.items()} for w, sides in named.items()}
