"""Write the tables of a comparison: for each training and measure the mean and the standard deviation over seeds."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from common.errors import UserError
from common.text_files import read_text

MANY, FEW = 100, 0.01  # means from MANY on are written without decimals, those below FEW with four


@dataclass(frozen=True)
class Column:
    """A measure of the table.

    Attributes:
        metric: its name in the ``metrics.json`` of a test or training.
        chance: value by chance, where the runs' own figures have none; None: unknown.
        best: mean of a row that is bold; ``none``: no mean is.
        of: trainings that have it; None for all.
    """

    metric: str
    chance: float | None = None
    best: Literal["highest", "lowest", "none"] = "highest"
    of: list[str] | None = None


class Measured(NamedTuple):
    """One value of one run."""

    training: str
    seed: int
    column: str
    value: float


class Summary(NamedTuple):
    """One measure of one training over its seeds: mean, standard deviation (of a sample, n - 1; NaN with one seed)."""

    mean: float
    spread: float
    values: dict[int, float]


def summarise(measured: Sequence[Measured]) -> dict[str, dict[str, Summary]]:
    """Summarise values by training and column, in the order they come; of two values of one seed the last counts."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for one in measured:
        values.setdefault(one.training, {}).setdefault(one.column, {})[one.seed] = one.value
    return {
        training: {column: _summary(by_seed) for column, by_seed in columns.items()}
        for training, columns in values.items()
    }


def _summary(by_seed: Mapping[int, float]) -> Summary:
    count = len(by_seed)
    mean = sum(by_seed.values()) / count
    squares = sum((value - mean) ** 2 for value in by_seed.values())
    return Summary(mean, math.sqrt(squares / (count - 1)) if count > 1 else math.nan, dict(by_seed))


def as_markdown(summaries: Mapping[str, Mapping[str, Summary]], columns: Mapping[str, Column]) -> str:
    """Write the table: a row for each measure, a column for each training, the best mean of each row in bold.

    A mean of fewer seeds than the table has names their number and is never bold.
    """
    seeds = len({seed for row in summaries.values() for cell in row.values() for seed in cell.values})
    lines = [["", *summaries, "chance"], ["---"] * (len(summaries) + 2)]
    for head, column in columns.items():
        row = [summaries[training].get(head) for training in summaries]
        whole = [cell.mean for cell in row if cell and len(cell.values) == seeds]
        best = _best(whole, column.best)
        cells = [_cell(cell, best, seeds) if cell else "" for cell in row]
        lines.append([head, *cells, "" if column.chance is None else f"{column.chance:.3f}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _best(means: Sequence[float], which: str) -> float:
    """Return the best of some means; NaN for fewer than two means or ``which`` none."""
    if which == "none" or len(means) < 2:
        return math.nan
    return max(means) if which == "highest" else min(means)


def _cell(summary: Summary, best: float, seeds: int) -> str:
    digits = 0 if summary.mean >= MANY else 3 if summary.mean >= FEW else 4
    text = f"{summary.mean:.{digits}f}" + ("" if math.isnan(summary.spread) else f" ± {summary.spread:.{digits}f}")
    if len(summary.values) < seeds:
        return f"{text} ({len(summary.values)} of {seeds} seeds)"
    return f"**{text}**" if summary.mean == best else text


def as_csv(measured: Sequence[Measured]) -> str:
    """Write each value of ``measured`` as a line: training, seed, measure, value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Measured._fields)
    writer.writerows([*one[:3], f"{one.value:.6g}"] for one in measured)
    return text.getvalue()


def read_csv(path: Path) -> list[Measured]:
    """Read a file that :func:`as_csv` wrote; a UserError names the first row of another form."""
    if not path.is_file():
        raise UserError(f"{path} is not there; expected the comparison.csv of another machine")
    rows = list(csv.reader(io.StringIO(read_text(path))))
    found = []
    for number, row in enumerate(rows[1:], 2):
        try:
            training, seed, column, value = row
            found.append(Measured(training, int(seed), column, float(value)))
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: found {','.join(row)[:100]!r}, expected {','.join(Measured._fields)}"
            ) from error
    return found
