"""Ctrl-C, SIGTERM and SIGHUP: the first asks for a clean end, a second ends at once, and the loading processes too."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from common.distributed import launched_by_torchrun
from common.signals import handle

log = logging.getLogger(__name__)

STARTED_BY = "DRAWL_STARTED_BY"  # in the environment of the ranks that run.py starts: its process id
PARENT_SECONDS = 0.5  # between two looks whether it still runs
ECHO_SECONDS = 3.0  # torchrun passes on a Ctrl-C that its workers also receive from the terminal
AT_ONCE = b"\nexit at once: what came after the last checkpoint is lost\n"


def end_at_once(number: int) -> None:
    """End this process, and those that it started to load or make data, with the exit code of a signal."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + number)


def watch_parent(parent: int, ended: Callable[[], None]) -> None:
    """Call ``ended`` once, in a thread, when the process that started this one has ended, even by kill -9."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        ended()

    threading.Thread(target=watch, daemon=True).start()


def say(message: bytes) -> None:
    """Print to standard error in a signal handler, where a terminal is still there."""
    with contextlib.suppress(OSError):
        os.write(2, message)


class Interruption:
    """The handler outside of training: the first signal is a KeyboardInterrupt, a second ends at once."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Raise a KeyboardInterrupt with the signal's number at the first signal; end at once at a second."""
        if self._since is None:
            self._since = time.monotonic()
            if hasattr(signal, "SIGCHLD"):  # torch prints a traceback where the stop ends a loading process
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            raise KeyboardInterrupt(number)
        if not _echo(self._since):
            end_at_once(number)


def _echo(since: float) -> bool:
    """Return whether a signal is the same one, from torchrun and from the terminal."""
    return launched_by_torchrun() and time.monotonic() - since <= ECHO_SECONDS


class StopRequest:
    """Installed as signal handler; ``requested`` turns true at the first signal.

    Use as a context manager: the former handlers return at the end.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._since = 0.0
        self._former: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Return whether a signal has come."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """Return what a shell expects of a process that a signal ended: 128 + its number."""
        return 128 + (self.signal or 0)

    def __enter__(self) -> "StopRequest":
        self._former = handle(self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._since = time.monotonic()
            if os.environ.get("RANK", "0") in ("0", ""):  # each rank receives it
                say(b"\nstopping: saving a checkpoint after this step (once more to exit at once)\n")
        elif not _echo(self._since):
            say(AT_ONCE)
            end_at_once(number)
