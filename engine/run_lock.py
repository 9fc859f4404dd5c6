"""Checks that a run's folder can be written, and a lock so that one process at a time writes it.

The lock is advisory, on a file in the folder. The kernel gives it back however the process ends, so that a killed run
can be resumed at once. Children that the process forks (loading workers) do not keep it.
"""

import os
import socket
import tempfile
from pathlib import Path

from common import file_lock
from common.errors import UserError

NAME = ".lock"
_held: dict[Path, int] = {}


def try_to_write(folder: Path) -> None:
    """Make and remove a folder where the run's will be: permissions alone do not show read-only disks or /proc.

    A UserError names the key ``run.folder``.
    """
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        Path(tempfile.mkdtemp(prefix=".", dir=nearest)).rmdir()
    except OSError as error:
        what = "written" if nearest == folder else f"made in {nearest}"
        raise UserError(
            f"run.folder: the folder of the run, {folder}, cannot be {what} ({error.strerror}); give another "
            "run.folder=..., where this user may write"
        ) from error


def hold(folder: Path) -> None:
    """Take the lock of a run folder until :func:`release` or the end of this process; again is harmless.

    A UserError names the process that holds it, if another does.
    """
    path = folder.resolve() / NAME
    if path in _held:
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        held = file_lock.take(file, folder, wait=False)
    except BlockingIOError as error:
        holder = os.read(file, 200).decode(errors="replace").strip() or "another process"
        os.close(file)
        raise UserError(
            f"{folder} is being written by {holder}; wait until it ends, stop it, or give another run.name=..."
        ) from error
    if not held:
        os.close(file)
        return
    os.truncate(file, 0)
    os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    _held[path] = file


def release(folder: Path) -> None:
    """Give the lock of a run ``folder`` back, if this process has it."""
    file = _held.pop(folder.resolve() / NAME, None)
    if file is not None:
        os.truncate(file, 0)
        os.close(file)


def _leave_to_parent() -> None:
    """Close a forked child's copies: the lock ends with the parent alone."""
    while _held:
        os.close(_held.popitem()[1])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
