"""Rows put into an HDF5 pair that lacked them (datasets/hdf5/write.py), so that a kill at any time can be made good.

The JSON that names the pair is gone while the two files are renamed, since they cannot be at once. A marker beside the
shards, written before, lists the rows: with it a later run brings both files to the same state. Both carry the same
``pair`` attribute, new each time they are written.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py

from common.errors import UserError
from common.files import write_whole, written_whole
from common.text_files import parse_json
from datasets.hdf5.shards import read_outcome, values_of, widened
from datasets.hdf5_files import created
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.hdf5_pair import AUDIO, IDENTITY, IMAGE, opened

REMEDY = "delete that file, and the pair is made again, or give another data.folder"


def write_marker(marker: Path, source: dict[str, Any], rows: int, left_out: dict[int, str], shards: list[Path]) -> None:
    """Write which rows of the shards (in order) are about to be put in, and which stay out, and why.

    ``source`` is what the pair is a function of, ``rows`` the number of the manifest's.
    """
    content = {"made_from": source, IDENTITY: uuid4().hex, "rows": rows, "shards": [path.name for path in shards]}
    content["left_out"] = [{"row": row, "reason": reason} for row, reason in left_out.items()]
    write_whole(marker, json.dumps(content).encode())


def read_state(path: Path) -> dict[str, Any]:
    """Read the JSON of a pair, or a marker: a mapping; a ManifestError says that it is damaged."""
    content = parse_json(path.read_bytes(), str(path), REMEDY)
    if not isinstance(content, dict):
        raise ManifestError(f"{path} holds {f'{content!r:.60}'}, expected the JSON that names a pair: {REMEDY}")
    return content


def reasons_in(content: dict[str, Any], path: Path) -> dict[int, str]:
    """Return the rows left out that the JSON of a pair, read from ``path``, lists, and why."""
    entries = content.get("left_out", [])
    try:
        if all(type(entry["row"]) is int and isinstance(entry["reason"], str) for entry in entries):
            return {entry["row"]: entry["reason"] for entry in entries}
    except (TypeError, KeyError):
        pass
    raise ManifestError(f"{path}: left_out is {f'{entries!r:.60}'}, expected rows with their reasons: {REMEDY}")


def put_in(marker: Path, files: Sequence[Path], manifest: Path) -> dict[int, str]:
    """Put a marker's rows into those files of the pair that lack them yet; return the rows that stay out, and why.

    The JSON ``manifest`` that names the pair is deleted before the first file is replaced. Raises UserError where a
    file holds a dataset that is not of the pair; nothing is changed then.
    """
    content = read_state(marker)
    left_out = reasons_in(content, marker)
    if not {IDENTITY, "rows", "shards"} <= content.keys():
        raise ManifestError(f"{marker} lacks {IDENTITY}, rows or shards: {REMEDY}")
    shards = [marker.with_name(name) for name in content["shards"]]
    mended = set(read_outcome(shards)[0])
    fresh = [row in mended for row in range(content["rows"]) if row not in left_out]
    with ExitStack() as stack:
        for path in files:
            with opened(path, (), manifest) as old:
                if old.attrs.get(IDENTITY) == content[IDENTITY]:
                    continue  # renamed before a kill
                with created(stack.enter_context(written_whole(path))) as new:
                    insert_rows(old, new, fresh, shards)
                    new.attrs[IDENTITY] = content[IDENTITY]
        manifest.unlink(missing_ok=True)  # while it is there the pair is complete, and the two are not renamed at once
    return left_out


def insert_rows(old: h5py.File, new: h5py.File, fresh: Sequence[bool], paths: list[Path]) -> None:
    """Write a file of the pair anew: rows that are ``fresh`` from the shards, the others from ``old``, in order."""
    for name, source in old.items():
        if name not in (*AUDIO, *IMAGE):
            raise UserError(
                f"{old.filename}: has a dataset {name}, expected melspec and melspec_len, or image; rows cannot be put "
                "into it: take it out, or make the pair again in another data.folder"
            )
        chunks = {"compression": source.compression, "chunks": source.chunks} if source.chunks else {}
        target = new.create_dataset(name, (len(fresh), *source.shape[1:]), source.dtype, **chunks)
        known, values = iter(source), values_of(name, paths)
        for row, is_fresh in enumerate(fresh):
            value = next(values if is_fresh else known)
            target[row] = widened(value, source.shape[2]) if is_fresh and name == "melspec" else value
