"""Advisory locks on files, on file systems that have them; where there are none, one warning says so.

Lustre without ``-o flock``, NFS without its lock daemon, and some FUSE and SMB mounts have no locks (ENOLCK, ENOSYS,
EOPNOTSUPP). Work goes on there: a lock only guards against two programs that write the same files.
"""

import functools
import logging
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none; two programs in one folder are then the user's matter
    fcntl = None

log = logging.getLogger(__name__)


def take(file: int, folder: Path, wait: bool) -> bool:
    """Take the lock of an open file until that is closed.

    Args:
        file: its descriptor.
        folder: that the lock guards, for the warning.
        wait: wait for another process that holds it.

    Returns:
        Whether it is held; False where there are no locks.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is False.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        _warn(folder, error.strerror)
        return False
    return True


@functools.cache
def _warn(folder: Path, reason: str) -> None:
    log.warning("%s cannot be locked (%s): do not start a second program that writes in it", folder, reason)
