"""Builds an embedded world: scenes, images, captions and speech in published layouts (docs in settings.py).

    python run.py -f world/build.yaml world.scenes=10000

The work is cut into shards. A killed build goes on where it was when started again, and its result is the same byte for
byte as that of an uninterrupted one. A finished build returns at once; one with other settings is not touched.
"""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets.sharded_build import build_once, is_complete, make_missing, read_state
from datasets.world.export.layouts import GROUND_TRUTH, LAYOUTS
from datasets.world.export.records import WORK
from datasets.world.settings import World, WorldError
from datasets.world.shards import SHARD, make_shard, read_records, shard_count, shard_path
from datasets.world.speech.synthesise import SAMPLE_RATE, Synthesiser

logger = logging.getLogger(__name__)

FORMAT = 1
_STATE = "world.json"
_NOUNS = ("no world", "another world", "world.folder")
_DRY_SCENES = 40


def build(world: World) -> None:
    """Build a world and log its content.

    Args:
        world: The settings of the world, with its folder.
    """
    ensure_world(world)
    state = read_state(world.folder / _STATE, WorldError, f"delete {world.folder} and start again")
    logger.info("%s holds %s", world.folder, _sentence(state["summary"]))


def ensure_world(world: World, dry_folder: Path | None = None) -> Path:
    """Build a world unless it is there already, which takes no time.

    Args:
        world: The settings of the world, with its folder.
        dry_folder: Build a few scenes there instead, for a dry run.

    Returns:
        The world's folder.

    Raises:
        WorldError: The folder holds something else.
        UserError: A worker process died.
    """
    if dry_folder is not None:
        world = replace(world, folder=dry_folder, scenes=min(world.scenes, _DRY_SCENES), workers=1)
    asked = {"format": FORMAT, **world.settings}
    state = {"format": FORMAT, "settings": world.settings}
    path = world.folder / _STATE
    build_once(path, state, lambda: is_complete(path, asked, WorldError, _NOUNS), lambda: {"summary": _make(world)})
    _tidy(world)
    return world.folder


def _make(world: World) -> dict[str, Any]:
    """Make the shards that are missing and the lists; return counts of the whole."""
    Synthesiser()
    missing = [shard for shard in range(shard_count(world)) if not shard_path(world, shard).exists()]
    make = partial(make_shard, world)
    make_missing(make, missing, world.scenes, SHARD, world.workers, "scenes", "world.workers")
    logger.info("writing the lists of %s", ", ".join(world.layouts))
    return _finish(world)


def _finish(world: World) -> dict[str, Any]:
    """Write the lists of every layout and count the whole."""

    def records() -> Iterator[dict[str, Any]]:
        return read_records(world)

    GROUND_TRUTH.finish(world.folder, records)
    for name in world.layouts:
        LAYOUTS[name].finish(world.folder / name, records)
    splits: dict[str, int] = {}
    speakers: set[str] = set()
    spoken = samples = 0
    for record in records():
        splits[record["split"]] = splits.get(record["split"], 0) + 1
        for item in record["spoken"]:
            speakers.add(item["speaker"])
            spoken += 1
            samples += item["samples"]
    return {
        "scenes": world.scenes,
        "splits": splits,
        "spoken_captions": spoken,
        "hours": round(samples / SAMPLE_RATE / 3600, 4),
        "speakers": len(speakers),
    }


def _tidy(world: World) -> None:
    for name in (".", *world.layouts):
        shutil.rmtree(world.folder / name / WORK, ignore_errors=True)


def _sentence(summary: dict[str, Any]) -> str:
    splits = ", ".join(f"{count} {split}" for split, count in summary["splits"].items())
    return (
        f"{summary['scenes']} scenes ({splits}), {summary['spoken_captions']} spoken captions, "
        f"{summary['hours']:.2f} hours of speech, {summary['speakers']} speakers"
    )
