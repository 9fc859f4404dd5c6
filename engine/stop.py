"""Ctrl-C and SIGTERM: the first asks for a checkpoint and a clean end, a second ends at once."""

import logging
import os
import signal
import time
from types import FrameType

from engine.distributed import launched_by_torchrun

log = logging.getLogger(__name__)

ECHO_SECONDS = 3.0  # torchrun passes on a Ctrl-C that its workers also receive from the terminal


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
        """Whether a signal has come."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended: 128 + its number."""
        return 128 + (self.signal or 0)

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._since = time.monotonic()
            os.write(2, b"\nstopping: saving a checkpoint after this step (once more to exit at once)\n")
        elif not launched_by_torchrun() or time.monotonic() - self._since > ECHO_SECONDS:
            os.write(2, b"\nexit at once: what came after the last checkpoint is lost\n")
            os._exit(128 + number)
