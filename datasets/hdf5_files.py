"""HDF5 files that are written, also where the file system has no locks."""

from pathlib import Path

import h5py

from common.disk_space import full_disk
from common.errors import UserError

LOCKS = "set HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks"


def lock_remedy(error: Exception) -> str:
    """Return what to do about an error of HDF5 that names its lock, as it follows a message; "" for others."""
    return f"; {LOCKS}" if "lock" in str(error) else ""


def created(path: Path) -> h5py.File:
    """Make an HDF5 file that no other program knows yet, and so without a lock; the caller closes it.

    Raises UserError where HDF5 cannot make it, unless the disk is full, which whoever writes whole files reports.
    """
    try:
        return h5py.File(path, "w", locking=False)
    except (OSError, RuntimeError) as error:
        if full_disk(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: cannot be written as HDF5 ({reason}); give a folder that can be written to{lock_remedy(error)}"
        ) from error
