"""Folders of data that are made once, in shards, and found again: worlds, renders, features.

A small JSON inside says the settings, and whether the folder is complete. What was killed goes on where it was.
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
    """Read such a JSON.

    Args:
        path: the file.
        error: what is raised.
        remedy: what to do then.

    Returns:
        A mapping with at least ``settings`` and ``complete``.

    Raises:
        error: the file is missing, damaged, or something else.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(state, dict) and {"settings", "complete"} <= state.keys():
            return state
    except (OSError, ValueError):
        pass
    raise error(f"{path} is missing or cannot be read: {remedy}")


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Tell how what a folder holds differs from what is asked for, "" where it does not.

    Args:
        found: settings as read.
        asked: settings of plain values; others in ``found`` do not count.

    Returns:
        One sentence part for each setting that differs.
    """
    asked = json.loads(json.dumps(asked))
    return "; ".join(
        f"{name} is {found.get(name)} there, {value} asked for"
        for name, value in asked.items()
        if found.get(name) != value
    )


def is_complete(path: Path, asked: Mapping[str, Any], error: type[UserError], nouns: tuple[str, str, str]) -> bool:
    """Tell whether a folder holds all that is asked for; one with anything else is not touched.

    Args:
        path: the JSON in the folder.
        asked: settings of plain values, and others at the top of the JSON, such as ``format``.
        error: what is raised.
        nouns: for what a folder lacks, for another of its kind, and for what the user gives another of: ``no world``,
            ``another world``, ``world.folder``.

    Returns:
        Whether it is complete; False where it is empty or missing.

    Raises:
        error: the folder holds something of other settings, or files that are none.
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

    Args:
        path: the JSON in the folder.
        settings: written into it, a mapping with at least ``settings``.
        complete: as :func:`is_complete`.
        make: does the work; returns what is written into the JSON besides.
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
    """Make the shards that are missing, in processes, and say how fast.

    Args:
        make: makes one by its number and returns how many items it holds.
        missing: numbers of the shards, from 0.
        total: items in all shards.
        size: items of a shard; the last one may hold fewer.
        workers: processes; 0 is one for each core.
        what: noun of the items.
        setting: what the user calls the number of processes.

    Raises:
        UserError: a process died.
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
        log.info("%d %s in %.1f s: %.1f a second with %d processes", made, what, seconds, made / seconds, workers)
