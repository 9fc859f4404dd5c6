"""The text of a run: ``log.txt`` in its folder has everything that the console shows, also of later runs in it.

Messages from before the folder is known are kept until then. On ranks above 0, and where no folder is made, nothing is
written.
"""

import logging
import shlex
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

NAME = "log.txt"
EARLY = 1000  # records kept until there is a folder
FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


class _Early(logging.Handler):
    """Keeps records until they can be written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=EARLY)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _File(logging.FileHandler):
    """A file that ends with one sentence where it can no longer be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(FORMAT)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  logging's name
        """Say so once and write no more: a run does not end for its log."""
        reason = sys.exc_info()[1]
        end()
        log.warning("%s cannot be written any more (%s); the run goes on", self.baseFilename, reason)

    def say(self, level: int, text: str) -> None:
        """Write a line that the console has in another way."""
        self.handle(logging.LogRecord(log.name, level, __file__, 0, text, None, None))


_early = _Early()
_open: list[_File] = []  # one at most


def keep_early() -> None:
    """Begin to keep messages for the file to come."""
    _early.records.clear()
    logging.getLogger().addHandler(_early)


def begin(folder: Path, command: Sequence[str]) -> None:
    """Write to ``log.txt`` of a run folder from now on, the command and what was kept first."""
    end()
    root = logging.getLogger()
    try:
        file = _File(folder / NAME)
    except OSError as error:
        log.warning("%s cannot be written (%s); the run goes on without", folder / NAME, error.strerror)
        return
    _open.append(file)
    file.say(logging.INFO, f"command: {shlex.join(command)}")
    root.removeHandler(_early)
    while _early.records:
        file.handle(_early.records.popleft())
    if _open:
        root.addHandler(file)


def note(text: str, level: int = logging.INFO) -> None:
    """Write what the console shows by other means than logging."""
    for file in [*_open]:
        file.say(level, text)


def end() -> None:
    """Close the file, if there is one."""
    while _open:
        file = _open.pop()
        logging.getLogger().removeHandler(file)
        try:
            file.close()
        except OSError:  # a full disk, which the last line has said
            pass
