"""Digest the networks, the data set, the stored negatives and the weights of other runs that a run is made from.

A comparison writes ``made_from.json`` into the folder of each of its runs: the digests, and whether the run ended.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import config
from common.files import write_whole
from common.text_files import TextError, read_json
from models.weights import weights_digest

log = logging.getLogger(__name__)
FILE = "made_from.json"
NETWORKS = ("generator", "segmenter")
SETS = ("built.json", "alignments.jsonl", "name_list_train.txt", "name_list_val.txt", "name_list_test.txt")
MOST = 2**26  # bytes of a file that are looked at


def digests(values: Mapping[str, Any], runs: Mapping[str, Path]) -> dict[str, str]:
    """Digest the files and networks that a run reads and that exist, by key path of its config or ``run NAME``.

    ``values`` is the complete config; ``runs`` are the folders of the runs whose weights it starts from or tests.
    Missing or damaged weights of a network are a UserError.
    """
    found = {key: _network(json.dumps(node, sort_keys=True)) for key, node in _nodes(values)}
    for key in ("data", "negatives"):
        for path, value in _texts(values.get(key), key):
            if digest := _files(config.resolve_path(value)):
                found[path] = digest
    for name, folder in runs.items():
        files = [folder / "checkpoints" / "best.pt", folder / "checkpoints" / "last.pt", folder / "metrics.json"]
        if present := [file for file in files if file.is_file()]:
            found[f"run {name}"] = _digest(present[:1])
    return found


def forget() -> None:
    """Forget the digests of the networks, so that each is read anew."""
    _network.cache_clear()


def read(folder: Path) -> dict[str, Any] | None:
    """Read the digests of a run's folder, ``{"complete": ..., "digests": ...}``; None where there are none.

    A damaged file counts as none, with a warning.
    """
    path = folder / FILE
    try:
        record = read_json(path, "it is not regarded")
    except FileNotFoundError:
        return None
    except TextError as error:
        log.warning("%s", error)
        return None
    digests = record.get("digests") if isinstance(record, dict) else None
    texts = isinstance(digests, dict) and all(isinstance(digest, str) for digest in digests.values())
    if not texts or not isinstance(record.get("complete"), bool):
        log.warning("%s holds %s, expected complete and digests: it is not regarded", path, f"{record!r:.60}")
        return None
    return record


def write(folder: Path, found: Mapping[str, str], complete: bool) -> None:
    """Write the digests of a run into its folder; ``complete`` says whether the run came to its end."""
    write_whole(folder / FILE, json.dumps({"complete": complete, "digests": dict(found)}, indent=1).encode())


def changed(record: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """Return the names whose digests in the ``record`` of a run and ``now`` differ; a missing one counts as equal."""
    return [key for key, digest in record["digests"].items() if now.get(key, digest) != digest]


def _nodes(value: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key path and node of each network that a run only reads: generators and segmenters."""
    for name, item in value.items() if isinstance(value, dict) else ():
        path = f"{key}.{name}" if key else name
        if name in NETWORKS and isinstance(item, dict) and "type" in item:
            yield path, item
        else:
            yield from _nodes(item, path)


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{key}.{name}")
    elif isinstance(value, str):
        yield key, value


@functools.lru_cache
def _network(node: str) -> str:
    return weights_digest(config.build(json.loads(node)))


def _files(path: Path) -> str | None:
    """Digest a file, or the lists of a folder with a data set; None where there is neither."""
    files = [path] if path.is_file() else [file for name in SETS if (file := path / name).is_file()]
    return _digest(files) if files else None


def _digest(files: list[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            found.update(f"{file.name} {file.stat().st_size}".encode())
            found.update(content.read(MOST))
    return found.hexdigest()[:16]
