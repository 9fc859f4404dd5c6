"""Dump features of a layer as text, in the layout of ZeroSpeech 2019: ``python run.py -f resdavenet_vq/dump.yaml``.

As ``run_extract_feats_abx.py`` and ``scripts/dump_zs19_abx.sh`` of wnhsu/ResDAVEnet-VQ: a text file for each sound, a
line for each frame, three decimals; and a zip of them, to be evaluated by the challenge's own programs. The frames
differ in one thing: the original pads each batch with 0 dB, so that the last frames of a file depend on the others of
its batch; here each file is encoded alone.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt

import config
from common import distributed
from common.files import write_whole
from common.parallel import locked
from config.limits import BatchSize, Workers
from datasets.loading.rows import OnError
from datasets.media_files import write_json
from datasets.sharded_build import is_complete
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.splits import Captions
from engine.context import Context
from engine.logs import progress, say
from evaluation.abx.items import AbxError
from evaluation.abx.zerospeech import Bitrate, Submission, write_archive, write_features
from evaluation.numbers import number
from models.weights import weights_digest
from tasks.resdavenet_vq.extraction import extract
from tasks.resdavenet_vq.layers import SpeechModel, load_speech
from tasks.resdavenet_vq.utterances import encoded_frames, sound_seconds, utterance_names
from tasks.speech_image.trained import ModelSource

log = logging.getLogger(__name__)
STATE = "dump.json"


def dump(
    data: Captions,
    layer: str,
    output: Path,
    context: Context,
    model: ModelSource | None = None,
    archive: Path | None = None,
    submission: Submission = Submission(),  # noqa: B008  never changed
    name_parts: PositiveInt = 1,
    on_error: OnError = "error",
    batch_size: BatchSize = 16,
    workers: Workers = 0,
) -> None:
    """Write the features of every utterance, and a submission; what is there from an earlier call is not made again.

    Args:
        data: dataset of the sounds, such as ``datasets.spoken_captions.SoundFolder``.
        layer: ``conv1`` to ``conv5``, ``quant1`` to ``quant5`` where there is a quantiser, ``logmel``, or ``output``.
        output: folder of ``metadata.yaml``, ``english/test/*.txt``, and ``dump.json``, which says what was made.
        context: given by run.py.
        model: the trained speech encoder; None for ``logmel``.
        archive: the zip; ``<output>.zip`` when None.
        submission: what it says of itself, and the folders.
        name_parts: parts of a sound file's path that make its name, 1 as published.
        on_error: action at sounds that cannot be decoded: ``error`` stops, ``skip`` leaves them out.
        batch_size: sounds encoded at a time at most.
        workers: loading processes.

    Raises:
        UserError: weights or sounds are missing or do not fit, the model lacks the layer, two sounds have one name, or
            the folder holds other features.
    """
    trained = load_speech(model, distributed.pick_device())
    trained.check([layer])
    dataset = data(train=False, on_error=on_error)
    names = utterance_names(dataset, name_parts)
    if context.dry_run:
        first = next(extract(trained, dataset, [layer], whole_frames=True, rows=[0]))
        log.info("dry run: %s has frames and channels %s", names[0], first.layers[layer].features.shape)
        return
    made_from = {
        "layer": layer,
        "weights": weights_digest(torch.nn.ModuleDict(trained.modules)),
        "name_parts": name_parts,
        "max_frames": dataset.cut_at(),
    }
    texts = output / submission.language / submission.embedding
    output.mkdir(parents=True, exist_ok=True)
    with locked(output / ".lock"):
        is_complete(output / STATE, made_from, AbxError, ("no features", "other features", "output"))
        if not (output / STATE).exists():
            _write_state(output, made_from)
        files = _write_texts(trained, dataset, layer, [texts / f"{name}.txt" for name in names], batch_size, workers)
        write_whole(output / "metadata.yaml", submission.metadata().encode())
        summary = _summary(dataset, files) | {"model": trained.name, "seconds_per_frame": trained.seconds(layer)}
        _write_state(output, made_from, summary)
        packed = archive or output.with_name(f"{output.name}.zip")
        write_archive(packed, output, [output / "metadata.yaml", *sorted(files.values())])
    say(f"{summary['files']} files, {summary['frames']} frames of {summary['seconds_per_frame']:g} s")
    rate = f"bitrate {number(summary['bitrate'])} bit/s: {summary['symbols']} symbols of {summary['entropy_bits']:.3f}"
    say(f"{rate} bits in {summary['sound_seconds']:.1f} s of sound")
    say(config.short(packed))


def _write_texts(
    model: SpeechModel, dataset: SpokenCaptions, layer: str, paths: list[Path], batch_size: int, workers: int
) -> dict[int, Path]:
    """Write the features of every row whose file is missing; return the files by row, without skipped sounds."""
    missing = [row for row, path in enumerate(paths) if not path.is_file()]
    if len(missing) < len(paths):
        log.info("%d of %d are there from an earlier call", len(paths) - len(missing), len(paths))
    options = {"whole_frames": True, "rows": missing, "batch_size": batch_size, "workers": workers}
    for one in extract(model, dataset, [layer], **options) if missing else ():
        write_features(paths[one.row], one.layers[layer].features)
    return {row: path for row, path in enumerate(paths) if path.is_file()}


def _write_state(output: Path, made_from: dict[str, Any], summary: dict[str, Any] | None = None) -> None:
    content = {"settings": made_from, "complete": summary is not None, "summary": summary}
    write_json(output / STATE, content)


def _summary(dataset: SpokenCaptions, files: dict[int, Path]) -> dict[str, Any]:
    """Count what was written; a file that breaks off cannot be there, as each is written whole."""
    frames = encoded_frames(dataset) if files else []
    bitrate = Bitrate()
    durations = sound_seconds(dataset, list(files), [frames[row] for row in files])
    for path, seconds in progress(zip(files.values(), durations, strict=True), len(files), "bitrate"):
        bitrate.add_file(path, seconds)
    return {
        "files": len(files),
        "frames": bitrate.lines,
        "sound_seconds": round(bitrate.seconds, 3),
        "symbols": bitrate.symbols,
        "entropy_bits": round(bitrate.entropy, 6),
        "bitrate": round(bitrate.value, 6),
    }
