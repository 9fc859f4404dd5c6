"""HDF5 files that are written, also where the file system has no locks."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from common.disk_space import full_disk
from common.errors import UserError

LOCKS = "set HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks"


def lock_remedy(error: Exception) -> str:
    """Return what to do about an error of HDF5 that names its lock, as it follows a message; "" for others."""
    return f"; {LOCKS}" if "lock" in str(error) else ""


class _Keeping(io.FileIO):
    """A file that keeps the first error of a write and takes no further ones: HDF5 crashes (SIGSEGV) on a full disk."""

    error: OSError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb+")

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
    try:
        with raw, file:
            yield file
    finally:
        if raw.error is not None:  # whatever HDF5 made of it
            raise raw.error
