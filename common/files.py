"""Files that are written in full or not at all, also after a power cut, and read at once within a bound of memory.

What a run, an export or a preparation leaves behind is written by the functions here. Where there is no room they end
in one NoRoomError, whatever the library that writes raises, and leave the former file, or none.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import file_lock
from common.disk_space import full_disk, lacks_room, needs_room, no_room
from common.errors import UserError

TEMPORARY = ".tmp"  # how the hidden names end
LARGEST = 2 << 30  # bytes of a file that is read at once
NOT_SYNCHRONISED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""Errors of file systems that synchronise no files, or no folders."""
FAILED = frozenset({errno.EIO, errno.ESTALE})  # of a disk or network drive, while it is written to
PIECE = 1 << 24  # bytes


class DiskError(UserError):
    """A disk that failed while a file was written to it."""


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
    with needs_room(path.parent), _made_folder(path.parent):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                put_on_disk(file.fileno(), path)
            temporary.replace(path)
        except BaseException as error:
            reason = _no_room_for(temporary, error)
            temporary.unlink(missing_ok=True)
            if reason is not None:
                raise no_room(path.parent, reason) from error
            if isinstance(error, OSError) and error.errno in FAILED:
                raise _disk_failed(path, error) from error
            raise
        _sync_folder(path.parent)


@contextmanager
def _made_folder(folder: Path) -> Iterator[None]:
    """Make a folder; after an error take away what was made of it, as far as it is empty."""
    made = [] if folder.is_dir() else [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()
        raise


def _no_room_for(temporary: Path, error: BaseException) -> str | None:
    """Return the system's words where a library failed for want of room, with or without them; None for others."""
    if not isinstance(error, Exception) or isinstance(error, UserError):
        return None
    return full_disk(error) or (lacks_room(temporary) if temporary.is_file() else None)


def put_on_disk(handle: int, path: Path) -> None:
    """Wait until what was written to an open file or folder, called ``path``, is on disk.

    File systems that cannot do it (some of FUSE, SMB) are left alone. Raises DiskError where the disk failed, and
    OSError for a full one.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in NOT_SYNCHRONISED:
            return
        if full_disk(error) is not None:
            raise
        raise _disk_failed(path, error) from error


def _disk_failed(path: Path, error: OSError) -> DiskError:
    return DiskError(
        f"{path} could not be put on disk ({error.strerror or error}): check the disk or the network drive, then do it "
        "again, or write to another folder"
    )


def _sync_folder(folder: Path) -> None:
    """Put the new name on disk too, where the file system lets folders be opened and synchronised."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        put_on_disk(handle, folder)
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


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together, such as weights and their card: none gets its name before all are complete."""
    with ExitStack() as stack:
        for path, content in contents.items():
            stack.enter_context(written_whole(path)).write_bytes(content)


def write_plainly(path: Path, content: bytes) -> None:
    """Write one of very many files without waiting for the disk; where there is no room for it, it is deleted again."""
    with needs_room(path.parent):
        try:
            try:
                path.write_bytes(content)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        except OSError as error:
            if full_disk(error) is not None:
                path.unlink(missing_ok=True)
            raise


def append_whole(path: Path, lines: bytes, heading: bytes = b"") -> None:
    """Append lines to a file that several processes may write, all of them or, where there is no room, none.

    A last line that a kill cut is taken out before. A file without any line gets the ``heading`` first.
    """
    with needs_room(path.parent), path.open("ab+", buffering=0) as file:
        file_lock.take(file.fileno(), path.parent, wait=True)
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            size = os.pread(file.fileno(), size, 0).rfind(b"\n") + 1
            file.truncate(size)
        rest = memoryview(lines if size else heading + lines)
        try:
            while rest:
                rest = rest[file.write(rest) :]  # a raw file may take a part of it where room ends
        except OSError:
            file.truncate(size)
            raise
