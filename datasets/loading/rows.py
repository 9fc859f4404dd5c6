"""The demands of a loader on any dataset: rows, the error of one, and the problems of their list."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

from common.errors import TooFewRowsError, UserError

Sample = dict[str, Any]
OnError = Literal["error", "skip"]
PROBLEMS_SHOWN = 10


class ManifestError(UserError):
    """A list of samples that does not fit its format or its files."""


class NoRowsError(ManifestError, TooFewRowsError):
    """A list without samples."""


def report_problems(
    name: Path, problems: Iterable[str], remedy: str = "correct the file or put the data where it points"
) -> None:
    """Raise one ManifestError about the file ``name`` that shows the first ten problems and counts them all."""
    found = list(problems)
    if not found:
        return
    lines = [f"  {problem}" for problem in found[:PROBLEMS_SHOWN]]
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"  ... and {len(found) - PROBLEMS_SHOWN} more")
    counted = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    raise ManifestError("\n".join([f"{name}: {counted}; {remedy}", *lines]))


class SampleError(UserError):
    """One sample that cannot be used; the message has file, row and list, ``index`` is its row in the dataset."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index

    def advised(self) -> "SampleError":
        """Return this error with the setting that leaves such rows out, for configs whose data have ``on_error``."""
        return SampleError(f"{self} (or leave such rows out with data.on_error=skip)", self.index)

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return SampleError, (str(self), self.index)


class TrainingRows(Protocol):
    """The demands of a loader on a dataset; ``lengths`` and ``max_frames`` only where it sorts or pads by length."""

    source: Path  # the file that lists the rows, for messages
    split: str  # its owner's name for it, "" until given
    on_error: OnError  # action of a loader at a row that cannot be decoded
    skipped: dict[int, str]  # rows that it left out so far, and why

    def __len__(self) -> int: ...

    def digest(self) -> str:
        """Return number and digest of the rows, in words."""

    def files(self) -> Iterable[str] | None:
        """Return the paths of the files that the rows are read from, in order; None where the digest has the content.

        By them a resumed run finds out that a file was replaced by another of its name.
        """

    def __getitem__(self, index: int) -> Sample:
        """Read one row; raise SampleError where it cannot be used."""


def unusable_row(rows: TrainingRows, index: int, name: str, error: object) -> SampleError:
    """Return the error of a row that its list calls ``name``, for the caller to raise: row, list, split, problem."""
    origin = f"the {rows.split} split, {rows.source}" if rows.split else rows.source
    return SampleError(f"row {index} ({name}) of {origin}: {error}", index)
