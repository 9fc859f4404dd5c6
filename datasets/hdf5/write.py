"""Writes the HDF5 pair of a Places manifest: encoded images and log-mels, in wnhsu/ResDAVEnet-VQ's layout.

    python run.py -f preprocess/hdf5.yaml data.manifest=places/train.json

Rows are prepared in shards by all cores. A finished shard is a file of its own, so a job that was killed goes on where
it was when the same command is given again. The pair is put together from the shards, and the JSON that names it is
written last: where it is, the pair is complete. Who has opened a pair is notified when it was written anew.

Rows that were left out (``on_error=skip``) are named in the JSON and in a list beside it. Every later run tries them
again: what can be used by then is put in, what cannot is left out again or, with ``on_error=error``, stops the run.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from common.errors import UserError
from common.files import write_whole, written_whole
from common.parallel import cores, in_processes, locked, progress
from config import check_values
from config.limits import Frames, Workers
from datasets.hdf5.repair import put_in, read_state, reasons_in, write_marker
from datasets.hdf5.shards import can_be_mended, has_failures, read_outcome, write_audio, write_images, write_part
from datasets.hdf5_files import created
from datasets.loading.rows import ManifestError, OnError
from datasets.spoken_captions.hdf5_pair import IDENTITY, manifest_of
from datasets.spoken_captions.places_manifest import read_places
from datasets.spoken_captions.records import Records, SpokenCaption

log = logging.getLogger(__name__)
SHARD = 64  # rows: some seconds of work
Reasons = dict[int, str]  # what is wrong with the rows of the manifest that are left out


@dataclass(frozen=True)
class HDF5Pair:
    """The HDF5 pair to write.

    Args:
        manifest: Places JSON whose sound and image files exist.
        max_frames: Width of ``melspec``; longer captions keep their first frames.
        folder: Gets ``<manifest>.json``, ``<manifest>_audio.h5`` and ``<manifest>_image.h5``; None is the folder
            "hdf5" beside the manifest.
        on_error: Stop at a row that cannot be decoded, or leave it out of the pair, count and list it.
        workers: Processes; 0 is one for each core.
        compression: Of the log-mels; readers need not know. "none" is the published form and the quickest to read.
    """

    manifest: Path
    max_frames: Frames
    folder: Path | None = None
    on_error: OnError = "error"
    workers: Workers = 0
    compression: Literal["none", "lzf", "gzip"] = "none"

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def json(self) -> Path:
        """The JSON that names the pair, there only when the pair is complete."""
        return (self.folder or self.manifest.parent / "hdf5") / f"{self.manifest.stem}.json"

    @property
    def audio(self) -> Path:
        """``melspec`` (n, 40, max_frames) float32 and ``melspec_len`` (n,) int64."""
        return self.json.with_name(f"{self.manifest.stem}_audio.h5")

    @property
    def image(self) -> Path:
        """``image`` (n,), variable-length uint8: the image files as they are."""
        return self.json.with_name(f"{self.manifest.stem}_image.h5")

    @property
    def skipped(self) -> Path:
        """Rows that were left out, one a line; there only if there are any."""
        return self.json.with_name(f"{self.manifest.stem}_skipped.txt")

    @property
    def parts(self) -> Path:
        """Folder of the shards, gone when the pair is complete."""
        return self.json.with_name(f".{self.manifest.stem}.parts")

    @property
    def marker(self) -> Path:
        """The rows that are being put in, should that be interrupted."""
        return self.parts / "mend.json"


def preprocess(data: HDF5Pair) -> None:
    """Write the pair; where it is there, put in what was left out of it and can be used now.

    Args:
        data: The pair, with its manifest and folder.

    Raises:
        ManifestError: The manifest is wrong, or the folder holds the pair of another one.
        datasets.loading.rows.SampleError: A row cannot be decoded and ``on_error`` is "error".
        UserError: A worker process died, or no row could be decoded.
    """
    records = read_places(data.manifest, need="files").records
    data.json.parent.mkdir(parents=True, exist_ok=True)
    with locked(data.json.with_name(f".{data.manifest.stem}.lock")):
        source = _source(data)
        left_out = _left_out(data, source, len(records))
        if left_out is None and data.marker.exists():
            log.info("%s: going on with the rows that an interrupted run was putting in", data.json)
            left_out = put_in(data.marker, (data.audio, data.image), data.json)
            _finish(data, source, left_out)
        if left_out is None:
            _start_parts(data, source)
            _make_parts(data, records)
            left_out = _put_together(data, source, len(records))
        elif left_out:
            left_out = _mend(data, source, records, left_out)
        shutil.rmtree(data.parts, ignore_errors=True)
    log.info("%s: %d of %d rows", data.json, len(records) - len(left_out), len(records))
    if left_out:
        log.warning(
            "%d rows are left out, see %s; the first: %s", len(left_out), data.skipped, min(left_out.items())[1]
        )


def _source(data: HDF5Pair) -> dict[str, Any]:
    """Return what the pair is a function of."""
    with data.manifest.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "max_frames": data.max_frames, "compression": data.compression}


def _left_out(data: HDF5Pair, source: dict[str, Any], rows: int) -> Reasons | None:
    """Return what this very pair lacks, None where it is not there; another one is never overwritten."""
    path = data.json if data.json.exists() else data.marker
    if not path.exists():
        return None
    content = read_state(path)
    found = content.get("made_from")
    if found != source:
        raise ManifestError(
            f"{path} is there already and was made from {found}, asked for is {source}; give another data.folder "
            "or delete that file"
        )
    if path == data.marker:
        return None
    left_out, listed = reasons_in(content, path), content.get("data")
    count = len(listed) if isinstance(listed, list) else 0
    if count + len(left_out) != rows:
        log.info("%s has %d of %d rows and does not say why: making it again", data.json, count, rows)
        return None
    return left_out


def _start_parts(data: HDF5Pair, source: dict[str, Any]) -> None:
    """Keep the shards of an earlier run only if they are of the same job."""
    plan = data.parts / "plan.json"
    if data.parts.exists() and not (plan.exists() and plan.read_bytes() == json.dumps(source).encode()):
        log.info("the manifest or the settings changed: starting over in %s", data.parts)
        shutil.rmtree(data.parts)
    data.parts.mkdir(exist_ok=True)
    write_whole(plan, json.dumps(source).encode())


def _make_parts(data: HDF5Pair, records: Records) -> None:
    """Make the shards that are missing, and look again at those that lack rows."""
    total = len(records)
    shards = [range(first, min(first + SHARD, total)) for first in range(0, total, SHARD)]
    missing = [rows for rows in shards if not (path := _part(data, rows[0])).exists() or has_failures(path)]
    done = total - sum(map(len, missing))
    if done:
        log.info("%d of %d rows are there from an earlier run", done, total)
    _prepare(data, records, missing, done)


def _prepare(data: HDF5Pair, records: Records, shards: Sequence[Sequence[int]], done: int = 0) -> None:
    """Make the shards of some rows in processes, when ``done`` others are there."""
    jobs = ((rows, [records[row] for row in rows]) for rows in shards)
    workers = min(data.workers or cores(), len(shards))
    with progress("rows", done + sum(map(len, shards)), done) as advance:
        for count in in_processes(partial(_make_part, data), jobs, workers, "data.workers"):
            advance(count)


def _part(data: HDF5Pair, first: int) -> Path:
    """Return the file of the shard that begins with a row."""
    return data.parts / f"{first:09d}.npz"


def _make_part(data: HDF5Pair, job: tuple[Sequence[int], list[SpokenCaption]]) -> int:
    """Prepare the rows of one shard; one that is there lacks rows, and is made again if any can be used now."""
    rows, records = job
    path, settings = _part(data, rows[0]), (data.max_frames, data.on_error == "skip", str(data.manifest))
    if not path.exists() or can_be_mended(path, rows, records, *settings):
        write_part(path, rows, records, *settings)
    return len(rows)


def _put_together(data: HDF5Pair, source: dict[str, Any], rows: int) -> Reasons:
    """Write the two HDF5 files, the list of rows left out, and last the JSON."""
    paths = [_part(data, first) for first in range(0, rows, SHARD)]
    kept, failures = read_outcome(paths)
    if not kept:
        raise UserError(f"none of the {rows} rows could be decoded, the first: {failures[0]}")
    log.info("writing %s and %s", data.audio.name, data.image.name)
    identity = uuid4().hex
    with written_whole(data.audio) as temporary, created(temporary) as file:
        file.attrs[IDENTITY] = identity
        write_audio(file, paths, len(kept), data.max_frames, None if data.compression == "none" else data.compression)
    with written_whole(data.image) as temporary, created(temporary) as file:
        file.attrs[IDENTITY] = identity
        write_images(file, paths, len(kept))
    left_out = dict(zip(sorted(set(range(rows)) - set(kept)), failures, strict=True))
    _finish(data, source, left_out)
    return left_out


def _mend(data: HDF5Pair, source: dict[str, Any], records: Records, left_out: Reasons) -> Reasons:
    """Put rows into the pair that can be used now; return those that are still left out."""
    shutil.rmtree(data.parts, ignore_errors=True)
    data.parts.mkdir()
    rows = sorted(left_out)
    shards = [rows[at : at + SHARD] for at in range(0, len(rows), SHARD)]
    log.info("%s: trying the %d rows again that were left out", data.json, len(rows))
    _prepare(data, records, shards)
    paths = [_part(data, part[0]) for part in shards]
    mended, failures = read_outcome(paths)
    still = dict(zip(sorted(set(rows) - set(mended)), failures, strict=True))
    if mended:
        log.info("%d rows can be used now, writing %s and %s", len(mended), data.audio.name, data.image.name)
        write_marker(data.marker, source, len(records), still, paths)
        put_in(data.marker, (data.audio, data.image), data.json)
    _finish(data, source, still)
    return still


def _finish(data: HDF5Pair, source: dict[str, Any], left_out: Reasons) -> None:
    """Write the list of rows left out, if there are any, and the JSON."""
    if left_out:
        write_whole(data.skipped, ("\n".join(left_out.values()) + "\n").encode(errors="backslashreplace"))
    else:
        data.skipped.unlink(missing_ok=True)
    write_whole(data.json, manifest_of(data.manifest, data.audio.name, data.image.name, source, left_out))
