"""What every benchmark shares: the command line, the clock and the table."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROWS_FILE = "DRAWL_BENCHMARK_ROWS"  # environment variable: a file to which rows are appended as JSON lines


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The docstring as it stands, and every option with its default."""


def options(doc: str, sizes: Mapping[str, tuple[int | float, str]], threads: int | None = None) -> argparse.Namespace:
    """Read the command line and set the number of threads.

    Args:
        doc: the benchmark's docstring, shown by ``--help``.
        sizes: default and help of each option, by its name as an attribute.
        threads: default of ``--threads``; None is torch's own choice.

    Returns:
        The values of ``sizes``, and ``threads``.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=_Help)
    for name, (default, meaning) in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=meaning)
    chosen = torch.get_num_threads() if threads is None else threads
    parser.add_argument("--threads", type=int, default=chosen, help="threads of torch on the CPU")
    read = parser.parse_args()
    torch.set_num_threads(read.threads)
    print(f"measuring with {read.threads} threads, some minutes perhaps (--help names the sizes)", file=sys.stderr)
    return read


def devices() -> list[str]:
    """Name what to measure on: the CPU, and the GPU where there is one."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@dataclass(frozen=True)
class Row:
    """One line of a benchmark.

    Attributes:
        name: what was done.
        seconds: how long it took.
        baseline: how long the straightforward way took in the same run, in seconds; None if there is none.
        limit: fraction of what the machine can do at most, 0-1; None if not known.
        note: sizes, or what the baseline or the limit is.
    """

    name: str
    seconds: float
    baseline: float | None = None
    limit: float | None = None
    note: str = ""


def best_time(function: Callable[[], object], repeats: int = 3, device: str | torch.device = "cpu") -> float:
    """Return the shortest time of several calls, after one call to warm up.

    The shortest is the one least disturbed by other programs.

    Args:
        function: what to time.
        repeats: timed calls.
        device: waited for before the clock is read.

    Returns:
        Seconds.
    """
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else (lambda: None)
    function()
    best = float("inf")
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        function()
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print the rows: name, time, baseline, speed-up, fraction of the limit, note; :data:`ROWS_FILE` gets them too.

    Args:
        title: what was measured and on what.
        rows: the lines.
    """
    table = Table(title=title, title_justify="left")
    for name in ("", "time", "baseline", "speed-up", "of limit"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=bool(name))
    table.add_column("note")
    for row in rows:
        gain = "-" if row.baseline is None else f"{row.baseline / row.seconds:.1f}x"
        limit = "-" if row.limit is None else f"{row.limit:.0%}"
        table.add_row(row.name, _seconds(row.seconds), _seconds(row.baseline), gain, limit, row.note)
    Console(width=140).print(table)
    if ROWS_FILE in os.environ:
        with Path(os.environ[ROWS_FILE]).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
