"""Rows put into an HDF5 pair that lacked them (datasets/hdf5/write.py), so that a kill at any time can be made good.

The JSON that names the pair is gone while the two files are renamed, since they cannot be at once. A marker beside the
shards, written before, says what is being done: with it a later run brings both files to the same state. Both carry the
same ``pair`` attribute, new each time they are written.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np

from common.errors import UserError
from common.files import write_whole, written_whole
from datasets.hdf5.shards import read_outcome
from datasets.spoken_captions.hdf5_pair import IDENTITY

BLOCK = 64  # rows copied at a time


def write_marker(marker: Path, source: dict[str, Any], rows: int, left_out: dict[int, str], shards: list[Path]) -> None:
    """Notes which rows are about to be put in.

    Args:
        marker: The file; beside the shards.
        source: What the pair is a function of.
        rows: Of the manifest.
        left_out: Rows that stay out, and why.
        shards: With the rows that are put in, in order.
    """
    content = {"made_from": source, IDENTITY: uuid4().hex, "rows": rows, "shards": [path.name for path in shards]}
    content["left_out"] = [{"row": row, "reason": reason} for row, reason in left_out.items()]
    write_whole(marker, json.dumps(content).encode())


def put_in(marker: Path, files: Sequence[Path], manifest: Path) -> dict[int, str]:
    """Puts the rows of a marker into those files of a pair that do not have them yet.

    Args:
        marker: As :func:`write_marker` left it.
        files: The pair.
        manifest: The JSON that names it; deleted before the first file is replaced.

    Returns:
        Rows that stay out, and why.

    Raises:
        UserError: A file holds a dataset that is not of the pair; nothing is changed then.
    """
    content = json.loads(marker.read_bytes())
    left_out = {entry["row"]: entry["reason"] for entry in content["left_out"]}
    shards = [marker.with_name(name) for name in content["shards"]]
    mended = set(read_outcome(shards)[0])
    fresh = [row in mended for row in range(content["rows"]) if row not in left_out]
    with ExitStack() as stack:
        for path in files:
            with h5py.File(path, "r") as old:
                if old.attrs.get(IDENTITY) == content[IDENTITY]:
                    continue  # renamed before a kill
                with h5py.File(stack.enter_context(written_whole(path)), "w") as new:
                    insert_rows(old, new, fresh, shards)
                    new.attrs[IDENTITY] = content[IDENTITY]
        manifest.unlink(missing_ok=True)  # while it is there the pair is complete, and the two are not renamed at once
    return left_out


def insert_rows(old: h5py.File, new: h5py.File, fresh: Sequence[bool], paths: list[Path]) -> None:
    """Writes a file of the pair anew, with rows that it lacked.

    Args:
        old: What is there.
        new: Open for writing.
        fresh: Of every row of the new file, whether it comes from the shards; the others come from ``old``, in order.
        paths: Shards with the fresh rows, in order.
    """
    for name, source in old.items():
        chunks = {"compression": source.compression, "chunks": source.chunks} if source.chunks else {}
        target = new.create_dataset(name, (len(fresh), *source.shape[1:]), source.dtype, **chunks)
        values = _values(name, paths, old)
        at = copied = 0
        step = 1 if h5py.check_vlen_dtype(source.dtype) else BLOCK  # several of one length h5py takes for a table
        for is_fresh, run in groupby(fresh):
            end = at + len(list(run))
            while at < end:
                count = 1 if is_fresh else min(step, end - at)
                if is_fresh:
                    target[at] = _widened(next(values), source)
                elif step == 1:
                    target[at] = source[copied]
                else:
                    target[at : at + count] = source[copied : copied + count]
                at += count
                copied += 0 if is_fresh else count


def _widened(value: np.ndarray, like: h5py.Dataset) -> np.ndarray:
    """A log-mel with zeros behind it to the width of its dataset; anything else as it is."""
    if len(like.shape) < 3:
        return value
    return np.pad(value, ((0, 0), (0, like.shape[2] - value.shape[1])))


def _values(name: str, paths: list[Path], file: h5py.File) -> Iterator[np.ndarray]:
    """What the rows of shards hold for one dataset of the pair."""
    if name not in ("melspec", "melspec_len", "image"):
        raise UserError(
            f"{file.filename}: has a dataset {name}, expected melspec and melspec_len, or image; rows cannot be put "
            "into it: take it out, or make the pair again in another data.folder"
        )
    return _rows_of(name, paths)


def _rows_of(name: str, paths: list[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        with np.load(path) as part:
            frames, sizes = part["frames"], part["sizes"]
            if not len(frames):
                continue
            if name == "melspec_len":
                yield from frames
            elif name == "melspec":
                yield from np.split(part["mel"], np.cumsum(frames)[:-1], axis=1)
            else:
                yield from np.split(part["image"], np.cumsum(sizes)[:-1])
