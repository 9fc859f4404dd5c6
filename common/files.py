"""Files that are written in full or not at all, also after a power cut, and read at once within a bound of memory."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.disk_space import needs_room
from common.errors import UserError

TEMPORARY = ".tmp"  # how the hidden names end
LARGEST = 2 << 30  # bytes of a file that is read at once
PIECE = 1 << 24  # bytes


class LargeFileError(UserError):
    """A file that is larger than what memory should hold at once, such as a sparse one of terabytes."""


def check_size(path: Path) -> None:
    """Raise a LargeFileError for a file that is too large to be read at once, OSError where there is none."""
    if (size := path.stat().st_size) > LARGEST:
        raise LargeFileError(_too_large(path, str(size)))


def read_at_once(path: Path) -> bytes:
    """Read a whole file, or a pipe to its end; raise a LargeFileError beyond ``LARGEST`` bytes, OSError."""
    check_size(path)
    parts, size = [], 0
    with path.open("rb") as file:
        while part := file.read(PIECE):
            parts.append(part)
            size += len(part)
            if size > LARGEST:  # a device has no size
                raise LargeFileError(_too_large(path, f"more than {LARGEST}"))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(path: Path, size: str) -> str:
    return (
        f"{path} has {size} bytes, expected at most {LARGEST} of a file that is read at once; give the file that was "
        "meant, or a part of it"
    )


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a hidden name to write to; the file gets its own name once it is complete and on disk.

    Its folder is made if needed. The former content of the file stays until then, also after a NoRoomError (the disk is
    full); a file that a kill leaves behind is written over the next time or swept away.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with needs_room(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name on disk too, where the file system lets folders be synchronised (SMB and FUSE often do not)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(folder: Path) -> None:
    """Delete what killed processes left behind in a folder, and below it, that no other process writes in."""
    for temporary in folder.rglob(f".*{TEMPORARY}"):
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made if needed."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
