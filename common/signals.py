"""Signals that end a program, and the function that handles them."""

import signal
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


def handle(handler: Handler) -> dict[int, object]:
    """Let a function handle Ctrl-C, SIGTERM and SIGHUP; return the handlers before, by signal.

    SIGHUP, which the end of a terminal or of an ssh connection sends, is left alone where it is ignored (``nohup``).
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    return {number: signal.signal(number, handler) for number in numbers}
