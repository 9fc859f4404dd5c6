"""Builds an embedded world: scenes, pictures, captions and speech in published layouts (docs in world.py).

    python run.py -f world/build.yaml world.scenes=10000

The work is cut into shards. A killed build goes on where it was when started again, and its result is the same byte for
byte as that of an uninterrupted one. A finished build returns at once; one with other settings is not touched.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datasets.world.export import WORK
from datasets.world.files import write_json
from datasets.world.layouts import GROUND_TRUTH, LAYOUTS
from datasets.world.shards import SHARD, make_shard, read_records, shard_count, shard_path
from datasets.world.speech import SAMPLE_RATE, Synthesiser
from datasets.world.world import World, WorldError

logger = logging.getLogger(__name__)

FORMAT = 1
_STATE = "world.json"
_LOCK = ".lock"
_DRY_SCENES = 40
_LINES = 10


def build(world: World) -> None:
    """Build a world and log what it holds.

    Args:
        world: What to build and where.

    Raises:
        WorldError: The folder holds something else, or a worker died.
    """
    ensure_world(world)
    logger.info("%s holds %s", world.folder, _sentence(_read_state(world)["summary"]))


def ensure_world(world: World, dry_folder: Path | None = None) -> Path:
    """Build a world unless it is there already, which takes no time.

    Args:
        world: What to build and where.
        dry_folder: Build a few scenes there instead, for a dry run.

    Returns:
        The world's folder.

    Raises:
        WorldError: The folder holds something else, or a worker died.
    """
    if dry_folder is not None:
        world = replace(world, folder=dry_folder, scenes=min(world.scenes, _DRY_SCENES))
    if _claim(world):
        return world.folder
    world.folder.mkdir(parents=True, exist_ok=True)
    with _locked(world.folder / _LOCK):
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
    state = _read_state(world)
    found = {"format": state.get("format"), **state.get("settings", {})}
    asked = {"format": FORMAT, **world.settings}
    differing = [name for name in asked if found.get(name) != asked[name]]
    if differing:
        told = "; ".join(f"{name} is {found.get(name)} there, {asked[name]} asked for" for name in differing)
        raise WorldError(
            f"{world.folder} holds another world: {told}. Give another world.folder, delete that folder, or ask for "
            f"the same settings."
        )
    return bool(state["complete"])


def _read_state(world: World) -> dict[str, Any]:
    try:
        state = json.loads((world.folder / _STATE).read_text(encoding="utf-8"))
        if isinstance(state, dict) and "complete" in state:
            return state
    except ValueError:
        pass
    raise WorldError(f"{world.folder / _STATE} cannot be read: delete {world.folder} and build it again.")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other builds out of the folder; the lock goes with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody to wait for
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("another process builds %s; waiting for it", path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_shards(world: World) -> None:
    missing = [shard for shard in range(shard_count(world)) if not shard_path(world, shard).exists()]
    done = world.scenes - sum(min(SHARD, world.scenes - shard * SHARD) for shard in missing)
    if done:
        logger.info("%d of %d scenes are there from an earlier build", done, world.scenes)
    workers = min(world.workers or len(_cores()), len(missing))
    start = time.monotonic()
    with _progress(world.scenes, done) as advance:
        for count in _run(world, missing, workers):
            advance(count)
    seconds = max(time.monotonic() - start, 1e-9)
    if missing:
        made = world.scenes - done
        logger.info("%d scenes in %.1f s: %.1f scenes/s with %d processes", made, seconds, made / seconds, workers)


def _run(world: World, shards: list[int], workers: int) -> Iterator[int]:
    """Make shards, here or in processes; yields the scenes of each as it is done."""
    if workers <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for shard in shards:
                yield make_shard(world, shard)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")  # forking a process that runs torch threads can hang
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        futures = [pool.submit(make_shard, world, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise WorldError(
                "A process that built the world died, probably for want of memory: start the same command again (it "
                f"goes on from here) with fewer than world.workers={workers}."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=end_with_parent, daemon=True).start()


def _cores() -> set[int] | range:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


@contextlib.contextmanager
def _progress(total: int, done: int) -> Iterator[Any]:
    """Yield a function that counts scenes: a bar on a terminal, else about ten lines."""
    if sys.stderr.isatty():
        columns = (TextColumn("building the world"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total, completed=done)
            yield lambda count: bar.advance(task, count)
        return
    state = {"done": done, "told": done * _LINES // total}

    def advance(count: int) -> None:
        state["done"] += count
        if state["done"] * _LINES // total > state["told"]:
            state["told"] = state["done"] * _LINES // total
            logger.info("%d of %d scenes", state["done"], total)

    yield advance


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
