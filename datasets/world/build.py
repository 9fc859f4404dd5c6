"""Builds an embedded world: scenes, pictures, captions and speech in published layouts (docs in settings.py).

    python run.py -f world/build.yaml world.scenes=10000

The work is cut into shards. A killed build goes on where it was when started again, and its result is the same byte for
byte as that of an uninterrupted one. A finished build returns at once; one with other settings is not touched.
"""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common.parallel import cores, in_processes, locked, progress
from datasets.media_files import write_json
from datasets.sharded_build import differences, read_state
from datasets.world.export.layouts import GROUND_TRUTH, LAYOUTS
from datasets.world.export.records import WORK
from datasets.world.settings import World, WorldError
from datasets.world.shards import SHARD, make_shard, read_records, shard_count, shard_path
from datasets.world.speech.synthesise import SAMPLE_RATE, Synthesiser

logger = logging.getLogger(__name__)

FORMAT = 1
_STATE = "world.json"
_LOCK = ".lock"
_DRY_SCENES = 40


def build(world: World) -> None:
    """Build a world and log what it holds.

    Args:
        world: What to build and where.

    Raises:
        WorldError: The folder holds something else.
        UserError: A worker process died.
    """
    ensure_world(world)
    logger.info("%s holds %s", world.folder, _sentence(_state(world)["summary"]))


def ensure_world(world: World, dry_folder: Path | None = None) -> Path:
    """Build a world unless it is there already, which takes no time.

    Args:
        world: What to build and where.
        dry_folder: Build a few scenes there instead, for a dry run.

    Returns:
        The world's folder.

    Raises:
        WorldError: The folder holds something else.
        UserError: A worker process died.
    """
    if dry_folder is not None:
        world = replace(world, folder=dry_folder, scenes=min(world.scenes, _DRY_SCENES), workers=1)
    if _claim(world):
        return world.folder
    world.folder.mkdir(parents=True, exist_ok=True)
    with locked(world.folder / _LOCK):
        if _claim(world):
            return world.folder
        write_json(world.folder / _STATE, {"format": FORMAT, "settings": world.settings, "complete": False})
        Synthesiser()
        _make_shards(world)
        logger.info("writing the lists of %s", ", ".join(world.layouts))
        summary = _finish(world)
        state = {"format": FORMAT, "settings": world.settings, "complete": True, "summary": summary}
        write_json(world.folder / _STATE, state)
        _tidy(world)
    return world.folder


def _claim(world: World) -> bool:
    """Tell whether the world is complete.

    Raises:
        WorldError: The folder holds another world, or files that are none.
    """
    if not (world.folder / _STATE).exists():
        foreign = [path.name for path in world.folder.glob("*") if not path.name.startswith(".")]
        if foreign:
            some = ", ".join(sorted(foreign)[:3])
            raise WorldError(f"{world.folder} is not empty and holds no world ({some}, ...): give an empty folder.")
        return False
    state = _state(world)
    found = {"format": state.get("format"), **state["settings"]}
    told = differences(found, {"format": FORMAT, **world.settings})
    if told:
        raise WorldError(
            f"{world.folder} holds another world: {told}. Give another world.folder, delete that folder, or ask for "
            f"the same settings."
        )
    return bool(state["complete"])


def _state(world: World) -> dict[str, Any]:
    return read_state(world.folder / _STATE, WorldError, f"delete {world.folder} and build it again.")


def _make_shards(world: World) -> None:
    missing = [shard for shard in range(shard_count(world)) if not shard_path(world, shard).exists()]
    done = world.scenes - sum(min(SHARD, world.scenes - shard * SHARD) for shard in missing)
    if done:
        logger.info("%d of %d scenes are there from an earlier build", done, world.scenes)
    workers = min(world.workers or cores(), len(missing))
    start = time.monotonic()
    with progress("scenes", world.scenes, done) as advance:
        for count in in_processes(partial(make_shard, world), missing, workers, "world.workers"):
            advance(count)
    seconds = max(time.monotonic() - start, 1e-9)
    if missing:
        made = world.scenes - done
        logger.info("%d scenes in %.1f s: %.1f scenes/s with %d processes", made, seconds, made / seconds, workers)


def _finish(world: World) -> dict[str, Any]:
    """Write the lists of every layout and count what there is."""

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
