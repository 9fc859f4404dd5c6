"""Folders of data that are made once, in shards, and found again: worlds, renders, features.

A small JSON inside has the settings, and whether the folder is complete. A killed build goes on where it was.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.parallel import cores, in_processes, locked, progress
from datasets.media_files import write_json

log = logging.getLogger(__name__)


def read_state(path: Path, error: type[UserError], remedy: str) -> dict[str, Any]:
    """Read a folder's JSON, a mapping with at least ``settings`` and ``complete``; raise ``error`` with the remedy."""
    try:
        state = json.loads(path.read_bytes())
        if isinstance(state, dict) and isinstance(state.get("settings"), dict) and "complete" in state:
            return state
    except (OSError, ValueError, RecursionError):
        pass
    raise error(f"{path} is missing or cannot be read: {remedy}")


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Describe each asked setting (of plain values) that a folder's settings differ in; "" where none does."""
    asked = json.loads(json.dumps(asked))
    return "; ".join(
        f"{name} is {found.get(name)} there, {value} asked for"
        for name, value in asked.items()
        if found.get(name) != value
    )


def is_complete(path: Path, asked: Mapping[str, Any], error: type[UserError], nouns: tuple[str, str, str]) -> bool:
    """Return whether a folder holds all that is asked for; one with anything else is not touched, but an ``error``.

    False where it is empty or missing. ``path`` is the JSON in the folder, ``asked`` settings of plain values, and
    others at the top of the JSON, such as ``format``. ``nouns`` stand for what a folder lacks, for another of its kind,
    and for what the user gives another of: ``no world``, ``another world``, ``world.folder``.
    """
    folder, (none, other, key) = path.parent, nouns
    if not path.exists():
        foreign = sorted(found.name for found in folder.glob("*") if not found.name.startswith("."))
        if foreign:
            raise error(f"{folder} is not empty and holds {none} ({', '.join(foreign[:3])}, ...); give an empty folder")
        return False
    state = read_state(path, error, f"delete {folder} and start again")
    if message := differences(state | state["settings"], asked):
        raise error(f"{folder} holds {other}: {message}; give another {key}, delete that folder, or ask for the same")
    return bool(state["complete"])


def build_once(
    path: Path, settings: dict[str, Any], complete: Callable[[], bool], make: Callable[[], dict[str, Any]]
) -> None:
    """Make what a folder is to hold unless it is there; of several processes one works and the others wait.

    ``settings`` are written into the JSON ``path``, and so is what ``make``, which does the work, returns. ``complete``
    is :func:`is_complete`.
    """
    if complete():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent / ".lock"):
        if not complete():
            write_json(path, {**settings, "complete": False})
            write_json(path, {**settings, "complete": True, **make()})


def make_missing(
    make: Callable[[int], int], missing: list[int], total: int, size: int, workers: int, what: str, setting: str
) -> None:
    """Make the shards that are missing, in processes (0: one a core), and log how fast.

    ``make`` makes one by its number, from 0, and returns how many items it holds: ``size``, the last one perhaps fewer,
    of ``total``. ``what`` is the noun of the items, ``setting`` the user's name of the number of processes.
    """
    made = sum(min(size, total - shard * size) for shard in missing)
    if made < total:
        log.info("%d of %d %s are there from an earlier build", total - made, total, what)
    workers, start = min(workers or cores(), len(missing)), time.monotonic()
    with progress(what, total, total - made) as advance:
        for count in in_processes(make, missing, workers, setting):
            advance(count)
    seconds = max(time.monotonic() - start, 1e-9)
    if missing:
        helpers = f"{workers} processes" if workers > 1 else "1 process"
        log.info("%d %s in %.1f s: %.1f a second with %s", made, what, seconds, made / seconds, helpers)
