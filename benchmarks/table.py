"""Parse the options of a benchmark, time its calls and print its table; for all benchmarks.

On a CPU, seconds are CPU time of all threads and of ended child processes, because other programs change it less than
wall time; one thread is the default. Two ways to do the same are timed in turns.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table

Result = TypeVar("Result")
LONG = 3.0  # seconds
ROWS_FILE = "DRAWL_BENCHMARK_ROWS"  # environment variable: a file to which rows are appended as JSON lines


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The docstring as it stands, and every option with its default."""


def options(doc: str, sizes: Mapping[str, tuple[int | float, str]]) -> argparse.Namespace:
    """Read the command line and set the number of threads; ``sizes`` are default and help of each option by name."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=_Help)
    for name, (default, meaning) in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=meaning)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    read = parser.parse_args()
    torch.set_num_threads(read.threads)
    print(f"measuring with {read.threads} threads, some minutes perhaps (--help names the sizes)", file=sys.stderr)
    return read


def devices() -> list[str]:
    """Name what to measure on: the CPU, and the GPU where there is one."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@dataclass(frozen=True)
class Row:
    """One line of a benchmark."""

    name: str  # name of the measured work
    seconds: float  # that it took, of the CPU or of a GPU
    baseline: float | None = None  # seconds of the straightforward way, in turns with it; None if there is none
    limit: float | None = None  # fraction of what the machine can do at most, 0-1; None if not known
    note: str = ""  # sizes, or what the baseline or the limit is


def best_times(*ways: Callable[[], object], repeats: int = 3, device: str | torch.device = "cpu") -> list[float]:
    """Return the shortest seconds of each of several ways, called in turns so that other programs disturb all alike.

    The first call of a way warms it up, and counts only where it takes so long (:data:`LONG`) that it is not worth one
    call more. On a GPU it is waited for, and the time that passes is counted; on the CPU its own time.
    """
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats + 1):
        for found, way in zip(times, ways, strict=True):
            if len(found) < repeats or found[0] < LONG:
                found.append(timed(way, device)[1])
    return [min(found[found[0] < LONG :]) for found in times]


def best_time(function: Callable[[], object], repeats: int = 3, device: str | torch.device = "cpu") -> float:
    """Return the shortest seconds of several calls, after one call to warm up."""
    return best_times(function, repeats=repeats, device=device)[0]


def timed(function: Callable[[], Result], device: str | torch.device = "cpu") -> tuple[Result, float]:
    """Call a function; return its result and the seconds it took."""
    start = _clock(device)
    result = function()
    return result, _clock(device) - start


def _clock(device: str | torch.device) -> float:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print the rows: name, time, baseline, speed-up, fraction of the limit, note; :data:`ROWS_FILE` gets them too."""
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
