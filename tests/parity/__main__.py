"""``python -m tests.parity CASE.json [CASE.json ...] [--json]``: run parity cases and compare every output.

Exits with 0 when every listed output is within its tolerance, 1 when one is not or is missing, 2 for an unknown kind.
"""

# ruff: noqa: T201 (a command line tool: its output is what it is for)

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from engine.errors import UserError
from tests.parity.case import Case, fraction, read_case
from tests.parity.kinds import UnknownKindError, runner

FAILED, UNKNOWN = 1, 2
Fractions = dict[str, tuple[float | None, str]]


def compare(case: Case, results: dict[str, np.ndarray]) -> Fractions:
    """Fraction of the tolerance and remark for every output that the case lists."""
    rtol, atol = case.spec["rtol"], case.spec["atol"]
    return {name: fraction(results.get(name), case.arrays[name], rtol, atol) for name in case.outputs}


def run_case(path: Path) -> Fractions:
    """Run one case in a temporary folder.

    Raises:
        UnknownKindError: Its kind is not known.
    """
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        case = read_case(path, Path(folder))
        run = runner(case.kind)
        try:
            results = run(case)
        except UserError as error:
            return {name: (None, str(error)) for name in case.outputs}
        return compare(case, results)


def show(name: str, fractions: Fractions) -> None:
    """Print one line per output."""
    width = max(map(len, fractions), default=0)
    print(name)
    for output, (value, remark) in fractions.items():
        verdict = "ok  " if value is not None and value <= 1 else "FAIL"
        print(f"  {verdict} {output:{width}}  {'-' if value is None else f'{value:.4f}':>10}  {remark}".rstrip())


def main(arguments: list[str] | None = None) -> int:
    """Run the cases named on the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="+", type=Path, metavar="CASE.json")
    parser.add_argument("--json", action="store_true", help="print {case: {output: fraction of the tolerance}}")
    options = parser.parse_args(arguments)
    stems = [path.stem for path in options.cases]
    status, report = 0, {}
    for path in options.cases:
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        try:
            fractions = run_case(path)
        except (UnknownKindError, OSError, json.JSONDecodeError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = max(status, UNKNOWN if isinstance(error, UnknownKindError) else FAILED)
            report[name] = {}
            continue
        report[name] = {output: value for output, (value, _) in fractions.items()}
        if not all(value is not None and value <= 1 for value in report[name].values()):
            status = max(status, FAILED)
        if not options.json:
            show(name, fractions)
    if options.json:
        print(json.dumps(report, indent=1))
    return status


if __name__ == "__main__":
    sys.exit(main())
