"""Shards of the HDF5 pair (datasets/hdf5/write.py): a few rows prepared in one file, and the pair put together of them.

A shard is an npz: ``mel`` (40, sum of frames) and ``frames``; ``image``, the bytes of all image files, and ``sizes``;
``kept``, the manifest's rows that could be used; ``failures``, what was wrong with the others.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from common.errors import UserError
from datasets.audio.log_mel import check_usable, read_log_mel
from datasets.audio.windows import cut
from datasets.images import read_image, read_image_bytes
from datasets.loading.rows import SampleError
from datasets.spoken_captions.records import SpokenCaption

BANDS = 40


def write_part(
    path: Path, rows: Sequence[int], records: list[SpokenCaption], max_frames: int, skipping: bool, manifest: str
) -> None:
    """Decodes rows, checks their images, computes log-mels, and writes a shard whole or not at all.

    Args:
        path: The shard.
        rows: Their numbers in the manifest.
        records: The rows.
        max_frames: Longer captions keep their first frames.
        skipping: Leave out rows that cannot be used.
        manifest: What errors call the manifest.

    Raises:
        SampleError: A row cannot be used and ``skipping`` is off; names file and row.
    """
    mels, contents, kept, failures = [], [], [], []
    for row, record in zip(rows, records, strict=True):
        try:
            encoded, mel = _read(row, record, max_frames, manifest)
        except SampleError as failure:
            if not skipping:
                raise failure.advised() from failure
            failures.append(str(failure))
            continue
        mels.append(mel.numpy())
        contents.append(np.frombuffer(encoded, np.uint8))
        kept.append(row)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            mel=np.concatenate([np.zeros((BANDS, 0), np.float32), *mels], axis=1),
            frames=np.array([mel.shape[1] for mel in mels], np.int64),
            image=np.concatenate([np.zeros(0, np.uint8), *contents]),
            sizes=np.array([len(encoded) for encoded in contents], np.int64),
            kept=np.array(kept, np.int64),
            failures=np.array(failures, dtype=np.str_),
        )
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _read(row: int, record: SpokenCaption, max_frames: int, manifest: str) -> tuple[bytes, torch.Tensor]:
    """The bytes of an image that can be decoded, and a log-mel, cut; an error that names the row."""
    try:
        encoded = read_image_bytes(record.image_path)
        read_image(encoded, str(record.image_path))
        mel = cut(read_log_mel(record.audio_path), max_frames)
        check_usable(mel, record.audio_path)
        return encoded, mel
    except (UserError, OSError) as error:
        raise SampleError(f"{manifest}: row {row} ({record.uttid}): {error}", row) from error


def has_failures(path: Path) -> bool:
    """Whether the shard at ``path`` lacks rows that could not be used when it was made."""
    with np.load(path) as part:
        return len(part["failures"]) > 0


def can_be_mended(
    path: Path, first: int, records: list[SpokenCaption], max_frames: int, skipping: bool, manifest: str
) -> bool:
    """Tries the rows again that a shard lacks.

    Args:
        path: The shard.
        first: Row of the manifest that ``records`` begin with.
        records: All rows of the shard.
        max_frames: Longer captions keep their first frames.
        skipping: Whether rows may be left out.
        manifest: What errors call the manifest.

    Returns:
        Whether any of them can be used now.

    Raises:
        SampleError: A row cannot, and ``skipping`` is off.
    """
    with np.load(path) as part:
        kept = set(part["kept"].tolist())
    found = False
    for row, record in enumerate(records, first):
        if row in kept:
            continue
        try:
            _read(row, record, max_frames, manifest)
            found = True
        except SampleError as failure:
            if not skipping:
                raise failure.advised() from failure
    return found


def read_outcome(paths: list[Path]) -> tuple[list[int], list[str]]:
    """Reads what became of the rows.

    Args:
        paths: Shards in order.

    Returns:
        Rows of the manifest that could be used, and what was wrong with the others.
    """
    kept: list[int] = []
    failures: list[str] = []
    for path in paths:
        with np.load(path) as part:
            kept += part["kept"].tolist()
            failures += part["failures"].tolist()
    return kept, failures


def write_audio(file: h5py.File, paths: list[Path], count: int, max_frames: int, compression: str | None) -> None:
    """Writes ``melspec``, zero behind each caption's end, and ``melspec_len``.

    Args:
        file: Open for writing.
        paths: Shards in order.
        count: Usable rows in all of them.
        max_frames: Width of ``melspec``.
        compression: Name of an HDF5 filter, or None.
    """
    chunks = {"compression": compression, "chunks": (1, BANDS, min(256, max_frames))} if compression else {}
    shape = (count, BANDS, max_frames)
    melspec = file.create_dataset("melspec", shape, np.float32, fill_time="never", **chunks)
    lengths = file.create_dataset("melspec_len", (count,), np.int64)
    at = 0
    for path in paths:
        with np.load(path) as part:
            frames, mel = part["frames"], part["mel"]
        if not len(frames):
            continue
        block = np.zeros((len(frames), BANDS, max_frames), np.float32)
        for row, values in zip(block, np.split(mel, np.cumsum(frames)[:-1], axis=1), strict=True):
            row[:, : values.shape[1]] = values
        melspec[at : at + len(block)] = block
        lengths[at : at + len(block)] = frames
        at += len(block)


def write_images(file: h5py.File, paths: list[Path], count: int) -> None:
    """Writes ``image``, each row the bytes of an image file.

    Args:
        file: Open for writing.
        paths: Shards in order.
        count: Usable rows in all of them.
    """
    images = file.create_dataset("image", (count,), h5py.vlen_dtype(np.uint8))
    at = 0
    for path in paths:
        with np.load(path) as part:
            sizes, content = part["sizes"], part["image"]
        for encoded in np.split(content, np.cumsum(sizes)[:-1]) if len(sizes) else ():
            images[at] = encoded
            at += 1
