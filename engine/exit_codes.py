"""The end of the program: errors that a user can mend, stops and full disks are one sentence and an exit code."""

import contextlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

import torch

from common import distributed
from common.errors import UserError
from engine import signals as stop
from engine import text_log

SECOND_RANK_WAITS = 10.0  # seconds; a busy machine ends the other ranks late


def say_last(message: str, stopped: bool = False) -> None:
    """Print the sentence that ends the program, once: ranks above 0 wait, and rank 0 failing too ends them.

    After a stop by a signal, which every rank gets, rank 0 alone speaks.
    """
    if os.environ.get("RANK", "0") not in ("0", "") and distributed.launched_by_torchrun():
        if stopped:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECOND_RANK_WAITS)
    with contextlib.suppress(OSError):  # the terminal may be gone, which is what SIGHUP says
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    text_log.note(message, logging.INFO if stopped else logging.ERROR)


def exit_code_of(action: Callable[[], int]) -> int:
    """Return the exit code of what the command line asks for: its own, 2 after a user's error, 128 + a signal."""
    try:
        return action()
    except UserError as error:
        stopped = hasattr(error, "exit_code")
        say_last(str(error) if stopped else f"error: {error}", stopped)
        return getattr(error, "exit_code", 2)
    except OSError as error:  # a path of the config that cannot be read or written, a full disk
        if error.filename is None:
            text_log.note(traceback.format_exc(), logging.ERROR)
            raise
        say_last(f"error: {error.filename}: {error.strerror}; check this path in the config")
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        say_last(
            f"error: not enough memory ({' '.join(str(error).split())[:200] or 'no details'}); give a smaller "
            "data.batch_size, images, captions or network"
        )
        return 2
    except KeyboardInterrupt as interruption:
        notes = getattr(interruption, "__notes__", ["the same command does what was not finished"])
        say_last(f"stopped; {notes[-1]}", stopped=True)
        return 128 + int(interruption.args[0] if interruption.args else signal.SIGINT)
    except Exception:
        text_log.note(traceback.format_exc(), logging.ERROR)
        raise
    finally:
        text_log.end()
        distributed.stop()


def exit_code_at_the_end(action: Callable[[], int]) -> int:
    """Do the same as the program itself; a signal that comes when all is done and said ends it at once."""
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun itself started this rank
        stop.watch_parent(os.getppid(), lambda: stop.end_at_once(signal.SIGKILL))
    try:
        exit_code = exit_code_of(action)
        stop.handle(lambda number, _frame: stop.end_at_once(number))
    except KeyboardInterrupt as interruption:
        stop.end_at_once(int(interruption.args[0]) if interruption.args else signal.SIGINT)
    return exit_code
