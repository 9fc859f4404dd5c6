"""torchrun without its stack traces: ``python -m engine.launch --nproc-per-node=2 run.py …``.

Starts the ranks with torch's own elastic agent and ends with the exit code of the rank that failed first, so that the
one sentence which that rank printed stays the last word. When a run.py that started it is killed, it stops the ranks,
which save a checkpoint.
"""

import logging
import os
import signal
import sys

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from engine import signals as stop


def main(arguments: list[str]) -> int:
    """Run torchrun with its own arguments.

    Args:
        arguments: of torchrun's command line.

    Returns:
        0; else the exit code of the rank that failed first, or 128 + the signal that ended it or this process.
    """
    logging.disable(logging.ERROR)  # torch's modules set levels of their own
    if parent := os.environ.get(stop.STARTED_BY):
        stop.watch_parent(int(parent), lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        torchrun.run(torchrun.parse_args(arguments))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
