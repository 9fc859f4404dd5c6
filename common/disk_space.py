"""Full disks, quotas and file-size limits, reported in one sentence that names the folder."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError

FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
HDF5_ERRNO = re.compile(r"errno = (\d+)")  # HDF5 has the system's error in its text only
RUST_ERRNO = re.compile(r"\(os error (\d+)\)")  # so has safetensors
SPARE = 2**20  # bytes; a file system may allocate as many at once


class NoRoomError(UserError):
    """A file could not be written for want of room."""


def full_disk(error: BaseException) -> str | None:
    """Return the system's words for a full disk, a used-up quota or a file-size limit; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    pattern = HDF5_ERRNO if isinstance(error, OSError | RuntimeError) else RUST_ERRNO
    if number is None and (found := pattern.search(str(error))):
        number = int(found[1])
    return os.strerror(number) if number in FULL else None


def lacks_room(file: Path) -> str | None:
    """Return the system's words where a file, which may be spoilt, cannot grow by a MiB; None where it can.

    Libraries that lose the system's error (torch, NumPy, Pillow, programs such as ffmpeg) are understood so.
    """
    try:
        with file.open("ab") as more:
            more.write(bytes(SPARE))
            more.flush()
            os.fsync(more.fileno())
    except OSError as error:
        return full_disk(error)
    return None


def no_room(where: Path | str, reason: str) -> NoRoomError:
    """Return the error for a folder, or words for one, without room; ``reason`` such as "No space left on device"."""
    return NoRoomError(
        f"no room in {where} ({reason}): free some space, raise the quota or the limit of file sizes, or write to "
        "another folder; files that were complete before still are"
    )


@contextmanager
def needs_room(folder: Path) -> Iterator[None]:
    """Turn the errors of a full disk, where ``folder`` is written to, into a NoRoomError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = full_disk(error)
        if reason is None:
            raise
        raise no_room(folder, reason) from error
