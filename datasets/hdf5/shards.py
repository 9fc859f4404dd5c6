"""Shards of the HDF5 pair (datasets/hdf5/write.py): a few rows prepared in one file, and the pair put together of them.

A shard is an npz: ``mel`` (40, sum of frames) and ``frames``; ``image``, the bytes of all image files, and ``sizes``;
``kept``, the manifest's rows that could be used; ``failures``, what was wrong with the others.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from common.errors import UserError
from common.files import written_whole
from datasets.audio.log_mel import check_usable, read_log_mel
from datasets.audio.windows import cut
from datasets.images import read_image, read_image_bytes
from datasets.loading.rows import SampleError
from datasets.spoken_captions.records import SpokenCaption

BANDS = 40


def write_part(
    path: Path, rows: Sequence[int], records: list[SpokenCaption], max_frames: int, skipping: bool, manifest: str
) -> None:
    """Decode rows, check their images, compute log-mels, and write a shard whole or not at all.

    Longer captions keep their first frames. With ``skipping`` rows that cannot be used are left out, else SampleError
    names file and row.
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
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            mel=np.concatenate([np.zeros((BANDS, 0), np.float32), *mels], axis=1),
            frames=np.array([mel.shape[1] for mel in mels], np.int64),
            image=np.concatenate([np.zeros(0, np.uint8), *contents]),
            sizes=np.array([len(encoded) for encoded in contents], np.int64),
            kept=np.array(kept, np.int64),
            failures=np.array(failures, dtype=np.str_),
        )


def _read(row: int, record: SpokenCaption, max_frames: int, manifest: str) -> tuple[bytes, torch.Tensor]:
    """Return the bytes of an image that can be decoded, and a log-mel, cut; an error names the row."""
    try:
        encoded = read_image_bytes(record.image_path)
        read_image(encoded, str(record.image_path))
        mel = cut(read_log_mel(record.audio_path), max_frames)
        check_usable(mel, record.audio_path)
        return encoded, mel
    except (UserError, OSError) as error:
        raise SampleError(f"{manifest}: row {row} ({record.uttid}): {error}", row) from error


def has_failures(path: Path) -> bool:
    """Return whether the shard at ``path`` lacks rows that could not be used when it was made."""
    with np.load(path) as part:
        return len(part["failures"]) > 0


def can_be_mended(
    path: Path, rows: Sequence[int], records: list[SpokenCaption], max_frames: int, skipping: bool, manifest: str
) -> bool:
    """Return whether any of its rows that a shard lacks can be used now; arguments and errors: :func:`write_part`."""
    with np.load(path) as part:
        kept = set(part["kept"].tolist())
    found = False
    for row, record in zip(rows, records, strict=True):
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
    """Return the rows of the manifest that could be used, from shards in order, and what was wrong with the others."""
    kept: list[int] = []
    failures: list[str] = []
    for path in paths:
        with np.load(path) as part:
            kept += part["kept"].tolist()
            failures += part["failures"].tolist()
    return kept, failures


def values_of(name: str, paths: list[Path]) -> Iterator[np.ndarray]:
    """Yield the rows of shards in order for one dataset of the pair; those of ``melspec`` are (40, frames)."""
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


def widened(mel: np.ndarray, frames: int) -> np.ndarray:
    """Return a log-mel (40, T) with zeros behind it, (40, frames)."""
    return np.pad(mel, ((0, 0), (0, frames - mel.shape[1])))


def write_audio(file: h5py.File, paths: list[Path], count: int, max_frames: int, compression: str | None) -> None:
    """Write ``melspec``, zero behind each caption's end, and ``melspec_len``: ``count`` rows from shards in order."""
    chunks = {"compression": compression, "chunks": (1, BANDS, min(256, max_frames))} if compression else {}
    shape = (count, BANDS, max_frames)
    melspec = file.create_dataset("melspec", shape, np.float32, fill_time="never", **chunks)
    for row, mel in enumerate(values_of("melspec", paths)):
        melspec[row] = widened(mel, max_frames)
    file["melspec_len"] = np.array(list(values_of("melspec_len", paths)), np.int64)


def write_images(file: h5py.File, paths: list[Path], count: int) -> None:
    """Write ``image``, each row the bytes of an image file, of ``count`` rows from shards in order."""
    images = file.create_dataset("image", (count,), h5py.vlen_dtype(np.uint8))
    for row, encoded in enumerate(values_of("image", paths)):
        images[row] = encoded
