"""What a loader asks of any dataset: rows, what is wrong with one, and what is wrong with the list of them."""

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
    """Raises one error that shows the first ten problems and counts them all.

    Args:
        name: The file that was checked.
        problems: One sentence each.
        remedy: What to do.

    Raises:
        ManifestError: There is any problem.
    """
    found = list(problems)
    if not found:
        return
    lines = [f"  {problem}" for problem in found[:PROBLEMS_SHOWN]]
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"  ... and {len(found) - PROBLEMS_SHOWN} more")
    counted = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    raise ManifestError("\n".join([f"{name}: {counted}; {remedy}", *lines]))


class SampleError(UserError):
    """One sample that cannot be used.

    Args:
        message: Names file, row and list, and says what is wrong.
        index: Row in the dataset.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index

    def advised(self) -> "SampleError":
        """The same error with the setting that leaves such rows out, for configs whose data have ``on_error``."""
        return SampleError(f"{self} (or leave such rows out with data.on_error=skip)", self.index)

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return SampleError, (str(self), self.index)


class TrainingRows(Protocol):
    """What a loader asks of a dataset; ``lengths`` and ``max_frames`` only where it sorts or pads by length.

    Attributes:
        source: the file that lists the rows, for messages.
        split: what its owner calls it, "" until it says so.
        on_error: what a loader does with a row that cannot be decoded.
        skipped: rows that it left out so far, and why.
    """

    source: Path
    split: str
    on_error: OnError
    skipped: dict[int, str]

    def __len__(self) -> int: ...

    def digest(self) -> str:
        """Return number and digest of the rows, in words."""

    def __getitem__(self, index: int) -> Sample:
        """Read one row.

        Raises:
            SampleError: it cannot be used.
        """


def unusable_row(rows: TrainingRows, index: int, name: str, error: object) -> SampleError:
    """What to raise for a row: says which it is, in which list and of which split, and what is wrong with it.

    Args:
        rows: the dataset.
        index: row of it.
        name: what the list calls it.
        error: what is wrong.

    Returns:
        The error, for the caller to raise.
    """
    origin = f"the {rows.split} split, {rows.source}" if rows.split else rows.source
    return SampleError(f"row {index} ({name}) of {origin}: {error}", index)
