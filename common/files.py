"""Files that are either there in full or not at all, also after a power cut."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.room import needs_room

TEMPORARY = ".tmp"  # how the hidden names end


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a hidden name to write to; the file gets its own name once it is complete and on disk.

    Args:
        path: the file; its folder is made if needed. What it held before stays until then.

    Yields:
        Where to write; deleted when writing fails, and after a kill written over the next time or swept away.

    Raises:
        NoRoomError: the disk is full; what the file held before is still there.
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
    """Delete what processes that were killed while they wrote left behind.

    Args:
        folder: that no other process writes in; those below it are looked through too.
    """
    for temporary in folder.rglob(f".*{TEMPORARY}"):
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; its folder is made if needed.
        content: what to write.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
