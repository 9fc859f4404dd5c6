"""The list of rows that could not be used, ``skipped.csv`` of a run: split, row and reason, one a line.

A row is written as soon as it is found, so that a run that is stopped or killed leaves its list; the rows of earlier
starts of the same run stay. Several processes may write the same file.
"""

import csv
import io
import os
from pathlib import Path

from common import file_lock
from common.disk_space import needs_room
from common.files import write_whole
from common.text_files import is_whole_number

HEADING = ("split", "row", "reason")
ESCAPED = "backslashreplace"  # reasons may name files whose names are not in UTF-8
Skipped = tuple[str, int, str]


class SkippedFile:
    """Adds rows to a list as they are found; the file and its folder are made when the first row is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[tuple[str, int]] | None = None

    def add(self, split: str, row: int, reason: str) -> None:
        """Add a row unless this process or an earlier start listed it; raise NoRoomError where the disk is full."""
        if self._known is None:
            self._known = {found[:2] for found in read_skipped(self.path)}
        if (split, row) in self._known:
            return
        self._known.add((split, row))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with needs_room(self.path.parent), self.path.open("a", newline="", encoding="utf-8", errors=ESCAPED) as file:
            file_lock.take(file.fileno(), self.path.parent, wait=True)
            rows = [(split, row, reason)]
            file.write(_lines(rows if os.fstat(file.fileno()).st_size else [HEADING, *rows]))


def read_skipped(path: Path) -> list[Skipped]:
    """Return split, row and reason of every complete line of ``path``; nothing where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            (line[0], int(line[1]), line[2]) for line in csv.reader(file) if len(line) == 3 and is_whole_number(line[1])
        ]


def merge_skipped(path: Path, rows: list[Skipped]) -> list[Skipped]:
    """Write the rows that the file lists and those found now, each once, in order (no empty file); return them.

    A reason that was found now replaces an earlier one.
    """
    reasons = {(split, row): reason for split, row, reason in [*read_skipped(path), *rows]}
    listed = [(*key, reason) for key, reason in sorted(reasons.items())]
    if listed:
        write_whole(path, _lines([HEADING, *listed]).encode(errors=ESCAPED))
    return listed


def _lines(rows: list[tuple]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
