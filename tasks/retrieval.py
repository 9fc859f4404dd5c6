"""Retrieval of a whole split: encode it over all ranks, and write what the rankings say."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.loading import Loader
from datasets.samples import SpokenCaptions
from datasets.words import words as split_words
from engine import distributed
from engine.context import Context
from engine.errors import UserError
from engine.logs import progress
from engine.run_folder import RunFolder
from evaluation.report import Query, Report, Retrieved, best_and_worst, write_report
from evaluation.retrieval import Retrieval, write_retrieval
from models.matchmap import matchmaps
from models.speech_maps import SpeechMaps

Encode = Callable[[dict[str, Any], SpokenCaptions], tuple[Tensor, SpeechMaps]]
Compare = Callable[[Tensor, Tensor, Tensor], Tensor]
Picture = Callable[[SpokenCaptions, int], np.ndarray]
EXAMPLES = 4  # best and worst queries of each direction in the report
ANSWERS = 5
CURVES = ("train/loss", "learning_rate/", "speed/samples_per_second", "validation/recall@", "validation/median_rank")
FRAME_SECONDS, SAMPLE_RATE = 0.01, 16000


class Encoded(NamedTuple):
    """Maps of a split, on the CPU, in the order of the dataset's rows.

    Attributes:
        image: (N, D, H, W).
        speech: (N, D, T).
        nframes: (N,) valid frames of T.
        index: (N,) rows of the dataset.
        pooling: input frames of 10 ms for each of the T frames; None where the T are words.
    """

    image: Tensor
    speech: Tensor
    nframes: Tensor
    index: Tensor
    pooling: int | None


@torch.no_grad()
def encode_all(loader: Loader, encode: Encode, limit: int | None = None) -> Encoded:
    """Encode a split, each rank its share.

    Args:
        loader: an evaluation loader.
        encode: from a batch of a dataset to image maps (b, D, H, W) and speech maps (b, D, T).
        limit: number of batches; None for all.

    Returns:
        The maps of every rank's rows, the same on every rank, each row once; a rank may have none of its own.

    Raises:
        UserError: no row of the split can be used.
    """
    rows: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    pooling: int | None = None
    batches = loader.batches(0)
    for batch in progress(batches, limit or loader.steps_per_epoch, "encoding"):
        image, speech = encode(batch, loader.dataset)
        pooling = speech.pooling
        rows.append((image.float().cpu(), speech.features.float().cpu(), speech.nframes.cpu(), batch["index"].cpu()))
        if limit is not None and len(rows) >= limit:
            break
    share = _concatenated(rows) if rows else None
    if distributed.world_size() > 1:
        share, pooling = _gather(share, pooling)
    if share is None:
        raise UserError(_nothing_usable(loader))
    image, speech, nframes, index = share
    order = index.argsort()
    return Encoded(image[order], speech[order], nframes[order], index[order], pooling)


def _concatenated(rows: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> list[Tensor]:
    """Put the batches of this rank together: images, speech, frame counts, indices."""
    image, nframes, index = (torch.cat([row[i] for row in rows]) for i in (0, 2, 3))
    return [image, _stack_padded([row[1] for row in rows]), nframes, index]


def _nothing_usable(loader: Loader) -> str:
    """Say that a split holds no row that can be encoded, with one reason."""
    reason = next(iter(loader.skipped.values()), "see the warnings of the other processes")
    return f"none of the {len(loader.dataset)} rows to evaluate on could be used; mend the files, one is: {reason}"


def _stack_padded(parts: list[Tensor]) -> Tensor:
    """Concatenate (b, D, T_i) along the batch, padded with zeros to the longest T."""
    longest = max(part.shape[-1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in parts])


def _gather(share: list[Tensor] | None, pooling: int | None) -> tuple[list[Tensor] | None, int | None]:
    """Concatenate every rank's rows; the speech maps may differ in length, and a rank may have no rows (None)."""
    device = distributed.pick_device() if torch.distributed.get_backend() == "nccl" else torch.device("cpu")
    told = None if share is None else ([tensor.shape[1:] for tensor in share], pooling)
    known = [one for one in distributed.gather_objects(told) if one is not None]
    if not known:
        return None, None
    shapes, pooling = known[0]
    if share is None:
        kinds = (torch.float32, torch.float32, torch.int64, torch.int64)
        share = [torch.zeros(0, *shape, dtype=kind) for shape, kind in zip(shapes, kinds, strict=True)]
    longest = max(shapes[1][-1] for shapes, _ in known)
    image, speech, *others = share
    speech = torch.nn.functional.pad(speech, (0, longest - speech.shape[-1]))
    return [distributed.gather_uneven(tensor.to(device)).cpu() for tensor in (image, speech, *others)], pooling


def write_retrieval_report(
    folder: RunFolder,
    context: Context,
    dataset: SpokenCaptions,
    encoded: Encoded,
    retrieval: Retrieval,
    compare: Compare,
    split: str,
    picture: Picture,
    sections: Sequence[tuple[str, str]] = (),
) -> dict[str, float]:
    """Write ``queries.csv``, ``retrieval.json`` and ``report.html`` of a split.

    Args:
        folder: the run.
        context: its config and command.
        dataset: the split, for pictures, sounds and texts.
        encoded: its maps.
        retrieval: the rankings of them.
        compare: the similarity, for the answers of single queries.
        split: its name, for the title.
        picture: gives the picture of a row of the dataset, (H, W, 3) uint8.
        sections: heading and HTML of further parts of the report.

    Returns:
        The metrics.
    """
    names = [dataset.record(int(row)).uttid for row in encoded.index]
    metrics = write_retrieval(folder.path, retrieval, names, names)
    queries = [
        _query(direction, int(position), dataset, encoded, retrieval, compare, picture)
        for direction, side in (("speech_to_image", retrieval.image), ("image_to_speech", retrieval.speech))
        for position in best_and_worst(side.rank.numpy(), EXAMPLES)
    ]
    report = Report(
        title=f"{context.name}: retrieval among {len(names)} {split} pairs",
        metrics=metrics,
        curves={name: points for name, points in folder.curves().items() if name.startswith(CURVES)},
        queries=queries,
        sections=list(sections),
        config_yaml=context.config_text,
        info=_info(folder),
    )
    write_report(folder.path / "report.html", report)
    return metrics


def _info(folder: RunFolder) -> dict[str, str]:
    """Return the last start of the run as readable rows."""
    lines = (folder.path / "info.jsonl").read_text(encoding="utf-8").splitlines()
    last = json.loads(lines[-1])
    machine = last["machine"]
    return {
        "started": last["started"],
        "command": " ".join(last["command"]),
        "commit": last["commit"] or "not in git",
        "seed": str(last["seed"]),
        "machine": f"{machine['cores']} cores, {machine['gpu'] or 'no GPU'}, {machine['system']}",
        "packages": ", ".join(f"{name} {version}" for name, version in last["packages"].items()),
    }


def _query(
    direction: str,
    position: int,
    dataset: SpokenCaptions,
    encoded: Encoded,
    retrieval: Retrieval,
    compare: Compare,
    picture: Picture,
) -> Query:
    """Collect one example: the true pair with its matchmap, and the first answers."""
    spoken = direction == "speech_to_image"
    side = retrieval.image if spoken else retrieval.speech
    match = int(side.match[position])
    image, speech = (match, position) if spoken else (position, match)
    frames = max(1, int(encoded.nframes[speech]))
    maps = matchmaps(encoded.image[image : image + 1], encoded.speech[speech : speech + 1, :, :frames])[0]
    scores = _scores(encoded, position, spoken, compare)
    record = dataset.record(int(encoded.index[speech]))
    row = int(encoded.index[image])
    heard = _heard if encoded.pooling is not None else _read
    return Query(
        direction=direction,
        rank=int(side.rank[position]),
        text=record.text or record.uttid,
        image_u8=picture(dataset, row),
        sample_rate=SAMPLE_RATE,
        matchmap=maps.numpy(),
        retrieved=[
            _answer(dataset, encoded, int(found), scores, picture, correct=int(found) == match)
            for found in np.argsort(-scores, kind="stable")[:ANSWERS]
        ],
        **heard(dataset, int(encoded.index[speech]), frames, encoded.pooling),
    )


def _heard(dataset: SpokenCaptions, row: int, frames: int, pooling: int) -> dict[str, Any]:
    """Return what a query says about the time of a spoken caption, of which the model heard ``frames``."""
    waveform, words = dataset.waveform(row), dataset.record(row).alignment
    seconds = frames * pooling * FRAME_SECONDS
    whole = 0.0 if waveform is None else len(waveform) / SAMPLE_RATE
    whole = max(whole, words[-1][1] if words else 0.0)
    # Pooling rounds down and a window is 15 ms longer than its step: only more than that was really cut.
    cut = whole - seconds > (pooling + 3) * FRAME_SECONDS
    return {"waveform": waveform, "seconds": seconds, "words": words, "whole_seconds": whole if cut else None}


def _read(dataset: SpokenCaptions, row: int, frames: int, _pooling: None) -> dict[str, Any]:
    """Return the words of a written caption, which has no time: each is one frame."""
    words = split_words(dataset.record(row).text or "")[:frames]
    return {
        "waveform": None,
        "seconds": None,
        "words": [(float(at), at + 1.0, word) for at, word in enumerate(words)],
    }


def _scores(encoded: Encoded, position: int, spoken: bool, compare: Compare, chunk: int = 256) -> np.ndarray:
    """Return the similarities (N,) of one query with every answer."""
    one = slice(position, position + 1)
    parts = []
    for first in range(0, len(encoded.index), chunk):
        some = slice(first, first + chunk)
        image, speech = (some, one) if spoken else (one, some)
        parts.append(compare(encoded.image[image], encoded.speech[speech], encoded.nframes[speech]).flatten())
    return torch.cat(parts).numpy()


def _answer(
    dataset: SpokenCaptions, encoded: Encoded, position: int, scores: np.ndarray, picture: Picture, correct: bool
) -> Retrieved:
    row = int(encoded.index[position])
    record = dataset.record(row)
    return Retrieved(picture(dataset, row), record.text or record.uttid, float(scores[position]), correct)
