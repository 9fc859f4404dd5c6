"""The list of rows that could not be used, ``skipped.csv`` of a run: split, row and reason, each row in one line.

A row is written as soon as it is found, so that a run that is stopped or killed leaves its list; the rows of earlier
starts of the same run stay. Several processes may write the same file. A damaged line spoils no other.
"""

import csv
import io
from pathlib import Path

from common.files import append_whole, write_whole
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
        append_whole(self.path, _lines([(split, row, reason)]), _lines([HEADING]))


def read_skipped(path: Path) -> list[Skipped]:
    """Return split, row and reason of every complete line of ``path``; nothing where there is no file."""
    if not path.exists():
        return []
    lines = path.read_bytes().rpartition(b"\n")[0].splitlines()
    rows = [_row(line.decode(errors="replace")) for line in lines]
    return [row for row in rows if row is not None]


def _row(line: str) -> Skipped | None:
    """Return the row of a line, None where it has none; csv.reader would read on behind an open quote, or stop."""
    split, _, rest = line.partition(",")
    row, comma, reason = rest.partition(",")
    if not comma or not is_whole_number(row):
        return None
    quoted = reason.startswith('"')
    return split, int(row), reason[1:].removesuffix('"').replace('""', '"') if quoted else reason


def merge_skipped(path: Path, rows: list[Skipped]) -> list[Skipped]:
    """Write the rows that the file lists and those found now, each once, in order (no empty file); return them.

    A reason that was found now replaces an earlier one.
    """
    reasons = {(split, row): reason for split, row, reason in [*read_skipped(path), *rows]}
    listed = [(*key, reason) for key, reason in sorted(reasons.items())]
    if listed:
        write_whole(path, _lines([HEADING, *listed]))
    return listed


def _lines(rows: list[tuple]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([" ".join(str(value).split()) for value in row] for row in rows)
    return text.getvalue().encode(errors=ESCAPED)
