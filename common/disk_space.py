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


class NoRoomError(UserError):
    """A file could not be written for want of room."""


def full_disk(error: BaseException) -> str | None:
    """Return the system's words for a full disk, a used-up quota or a file-size limit; None for other errors."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and isinstance(error, OSError | RuntimeError) and (found := HDF5_ERRNO.search(str(error))):
        number = int(found[1])
    return os.strerror(number) if number in FULL else None


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
