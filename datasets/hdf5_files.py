"""HDF5 files that are written, also where the file system has no locks, or has no room."""

import contextlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from common.disk_space import full_disk, needs_room
from common.errors import UserError

RAW = "drawl_raw"  # the attribute of an open file that holds what it is written to
LOCKS = "set HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks"


def lock_remedy(error: Exception) -> str:
    """Return what to do about an error of HDF5 that names its lock, as it follows a message; "" for others."""
    return f"; {LOCKS}" if "lock" in str(error) else ""


class _Keeping(io.FileIO):
    """A file that keeps the first error of a write and takes no further ones: HDF5 crashes (SIGSEGV) on a full disk."""

    error: OSError | None = None

    def __init__(self, path: Path, anew: bool = True) -> None:
        super().__init__(path, "wb+" if anew else "rb+")

    def write(self, content: Any) -> int:
        """Write all of ``content``, as far as there is room."""
        rest = memoryview(content).cast("B")
        size = rest.nbytes
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, as far as there is room."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        """Read, zeros where something was not written."""
        whole = memoryview(buffer).cast("B")
        found = super().readinto(whole)
        if self.error is None:
            return found
        whole[found:] = bytes(whole.nbytes - found)
        return whole.nbytes


@contextmanager
def created(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that no other program knows yet, and so without a lock.

    Raises UserError where HDF5 cannot make it, and the system's OSError where the disk is full, which whoever writes
    whole files reports.
    """
    try:
        raw = _Keeping(path)
        file = h5py.File(raw, "w", locking=False)
    except (OSError, RuntimeError) as error:
        if full_disk(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: cannot be written as HDF5 ({reason}); give a folder that can be written to{lock_remedy(error)}"
        ) from error
    with _kept(raw, file):
        yield file


@contextmanager
def continued(path: Path) -> Iterator[h5py.File]:
    """Yield a draft that an earlier run left, to be written on; or a new one where there is none, or a damaged one.

    After each part :func:`flush` says whether it is on disk. Raises as :func:`created`, but a NoRoomError where the
    disk is full; what is in the draft then may be torn, and it is deleted.
    """
    with needs_room(path.parent):
        try:
            with _found(path) or created(path) as file:
                yield file
        except OSError as error:
            if full_disk(error):
                path.unlink(missing_ok=True)
            raise


def flush(file: h5py.File) -> None:
    """Put on disk what a file of :func:`continued` holds so far; raise the system's OSError where it has no room."""
    file.flush()
    raw = getattr(file, RAW)
    if raw.error is not None:
        raise raw.error


def _found(path: Path) -> contextlib.AbstractContextManager[h5py.File] | None:
    """Open a draft; None where there is none that can be read."""
    if not path.is_file():
        return None
    raw = _Keeping(path, anew=False)
    try:
        return _kept(raw, h5py.File(raw, "r+", locking=False))
    except Exception:  # h5py raises nearly anything on damaged files
        raw.close()
        return None


@contextmanager
def _kept(raw: _Keeping, file: h5py.File) -> Iterator[h5py.File]:
    """Yield an open file and close it; raise the first error of a write, whatever HDF5 made of it."""
    setattr(file, RAW, raw)
    try:
        with raw, file:
            yield file
    finally:
        if raw.error is not None:
            raise raw.error
