"""Advisory locks on files, on file systems that have them; where there are none, one warning says so.

Lustre without ``-o flock``, NFS without its lock daemon, and some FUSE and SMB mounts have no locks (ENOLCK, ENOSYS,
EOPNOTSUPP). Work goes on there: a lock only guards against two programs that write the same files.
"""

import functools
import logging
from pathlib import Path

from filelock import lock_descriptor

log = logging.getLogger(__name__)


def take(file: int, folder: Path, wait: bool) -> bool:
    """Take the lock of an open file (its descriptor) until that is closed; return False where there are no locks.

    Another process that holds it is waited for, or ends in a BlockingIOError. ``folder`` is named in the warning.
    """
    try:
        if lock_descriptor(file, blocking=wait):
            return True
    except OSError as error:
        _warn(folder, error.strerror)
        return False
    raise BlockingIOError(f"another process holds the lock of {folder}")


@functools.cache
def _warn(folder: Path, reason: str) -> None:
    log.warning("%s cannot be locked (%s): do not start a second program that writes in it", folder, reason)
