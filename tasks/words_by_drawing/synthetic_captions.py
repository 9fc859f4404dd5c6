"""Build the synthetic counterpart of the paper's data: a generator's images, described by a segmenter and spoken.

"Learning Words by Drawing Images" (CVPR 2019) made its synthetic set in this way. Here: latents by id -> images ->
objects that the segmenter sees -> captions by the world's grammar -> eSpeak, with word times. The result is in the
published GAN-CLEVR layout (``name_list_{train,val,test}.txt``, ``audio/<id>.wav``, ``text/<id>.txt``,
``images/<id>.jpg``), with ``alignments.jsonl`` (id, speaker, words, objects) and ``rejected.jsonl`` (id, reason) beside
it; the id of a caption is the row of its latent. ``python run.py -f words_by_drawing/build_synth.yaml``

A killed build goes on where it was; the result is the same whatever the number of processes.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.text_files import read_json
from datasets.media_files import write_lines
from datasets.sharded_build import build_once, is_complete, make_missing, read_state
from datasets.world.export.records import SPLITS
from datasets.world.speech.synthesise import SAMPLE_RATE, Synthesiser
from models.weights import weights_digest
from tasks.words_by_drawing.synthetic_shards import (
    SHARD,
    WORK,
    GeneratorNode,
    SegmenterNode,
    SyntheticSet,
    make_shard,
    shard_path,
)

log = logging.getLogger(__name__)
FORMAT = 1
STATE = "built.json"
NOUNS = ("no built captions", "other captions", "captions.folder")
DRY_IMAGES = 40


def build(captions: SyntheticSet, generator: GeneratorNode, segmenter: SegmenterNode) -> None:
    """Build a set of spoken captions of generated images and log what it holds.

    Args:
        captions: the settings of the set, with its folder.
        generator: generates the images.
        segmenter: says what is in them.

    Raises:
        UserError: the folder holds something else, or no image could be described.
    """
    folder = ensure_built(captions, generator, segmenter)
    state = read_state(folder / STATE, UserError, f"delete {folder} and build it again")
    log.info("%s holds %s", folder, _sentence(state["summary"]))


def ensure_built(
    captions: SyntheticSet, generator: GeneratorNode, segmenter: SegmenterNode, dry_folder: Path | None = None
) -> Path:
    """Build a set unless it is there already, and return its folder.

    Args:
        captions: the settings of the set, with its folder.
        generator: generates the images.
        segmenter: says what is in them.
        dry_folder: build a few captions there instead, for a dry run.

    Raises:
        UserError: the folder holds something else, or no image could be described.
    """
    if dry_folder is not None:
        captions = replace(captions, folder=dry_folder, candidates=min(captions.candidates, DRY_IMAGES), workers=1)
    weights = {"generator": weights_digest(generator()), "segmenter": weights_digest(segmenter())}
    asked = {"format": FORMAT, **captions.settings, **weights}  # another generator's set is not taken for this one's
    path = captions.folder / STATE

    def make() -> dict[str, Any]:
        Synthesiser()
        missing = [shard for shard in _shards(captions) if not shard_path(captions, shard).exists()]
        shard = partial(make_shard, captions, generator, segmenter)
        make_missing(shard, missing, captions.candidates, SHARD, captions.workers, "images", "captions.workers")
        return {"summary": _finish(captions)}

    build_once(path, {"settings": asked}, lambda: is_complete(path, asked, UserError, NOUNS), make)
    shutil.rmtree(captions.folder / WORK, ignore_errors=True)
    return captions.folder


def _shards(captions: SyntheticSet) -> range:
    return range(-(-captions.candidates // SHARD))


def _records(captions: SyntheticSet) -> Iterator[dict[str, Any]]:
    for shard in _shards(captions):
        yield from read_json(shard_path(captions, shard), "delete it, and it is made again")


def _finish(captions: SyntheticSet) -> dict[str, Any]:
    """Write the lists and count what there is."""
    folder = captions.folder
    rejected = Counter(record["rejected"].split(":")[0] for record in _records(captions) if "rejected" in record)
    taken = [record["id"] for record in _records(captions) if "rejected" not in record]
    if not taken:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common())
        raise UserError(
            f"None of {captions.candidates} images could be described ({reasons}): does the segmenter fit the "
            "generator? captions.least_confidence: null takes unsure ones too."
        )
    splits = captions.assign_splits(taken)
    for split in SPLITS:
        write_lines(folder / f"name_list_{split}.txt", (str(name) for name in taken if splits[name] == split))
    kept = (record for record in _records(captions) if "rejected" not in record)
    write_lines(folder / "alignments.jsonl", (json.dumps({**r, "id": str(r["id"])}, ensure_ascii=False) for r in kept))
    lost = (record for record in _records(captions) if "rejected" in record)
    write_lines(folder / "rejected.jsonl", (json.dumps({**r, "id": str(r["id"])}) for r in lost))
    spoken = [record for record in _records(captions) if "rejected" not in record]
    return {
        "pictures": captions.candidates,
        "captions": len(taken),
        "splits": dict(Counter(splits.values())),
        "rejected": dict(rejected.most_common()),
        "hours": round(sum(record["samples"] for record in spoken) / SAMPLE_RATE / 3600, 4),
        "speakers": len({record["speaker"] for record in spoken}),
    }


def _sentence(summary: dict[str, Any]) -> str:
    splits = ", ".join(f"{count} {split}" for split, count in summary["splits"].items())
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary["rejected"].items()) or "none"
    return (
        f"{summary['captions']} captions ({splits}) of {summary['pictures']} images, left out: {reasons}; "
        f"{summary['hours']:.2f} hours of speech, {summary['speakers']} speakers"
    )
