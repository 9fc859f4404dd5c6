"""``python -m tests.parity CASE.json [CASE.json ...] [--json]``: run parity cases and compare every output.

Exits with 0 when every listed output is within its tolerance, 1 when one is not or is missing or a case cannot be read,
2 for a missing or unknown kind. Whatever fails is reported in one line on stderr, and everything else still runs.
"""

# ruff: noqa: T201 (a command line tool: its output is what it is for)

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.parity.case import Case, fraction, read_case
from tests.parity.kinds import UnknownKindError, may_differ, one_line, run
from tests.parity.nested import nested_fraction

FAILED, UNKNOWN = 1, 2
Fractions = dict[str, tuple[float | None, str]]


def compare(case: Case, results: dict[str, np.ndarray]) -> Fractions:
    """Fraction of the tolerance and remark for every output that the case lists."""
    rtol, atol = case.spec["rtol"], case.spec["atol"]
    return {name: _compared(case, name, results.get(name), rtol, atol) for name in case.outputs}


def _compared(case: Case, name: str, result: object, rtol: float, atol: float) -> tuple[float | None, str]:
    """Compare one output with the array of that name, or with the mapping of that name in the case's JSON."""
    if name in case.arrays:
        return fraction(result, case.arrays[name], rtol, atol, may_differ(case.kind, name))
    if isinstance(case.spec.get(name), dict):
        return nested_fraction(result, case.spec[name], rtol, atol)
    return None, "the case's npz lacks it"


def run_case(path: Path) -> Fractions:
    """Run one case in a temporary folder.

    Raises:
        UnknownKindError: Its kind is missing or not known.
        CaseError: It is not complete.
    """
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        case = read_case(path, Path(folder))
        return compare(case, run(case))


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
        except Exception as error:  # of a malformed case anything; the remaining cases still run
            print(f"{path}: {one_line(error)}", file=sys.stderr)
            status = max(status, UNKNOWN if isinstance(error, UnknownKindError) else FAILED)
            report[name] = {}
            continue
        report[name] = {output: value for output, (value, _) in fractions.items()}
        if not all(value is not None and value <= 1 for value in report[name].values()):
            status = max(status, FAILED)
        if not options.json:
            show(name, fractions)
    print(json.dumps(report, indent=1) if options.json else summary(report))
    return status


def summary(report: dict[str, dict[str, float | None]]) -> str:
    """One sentence about all cases; a case without outputs is one that could not be run."""
    values = [value for outputs in report.values() for value in outputs.values()]
    right = sum(value is not None and value <= 1 for value in values)
    idle = sum(not outputs for outputs in report.values())
    message = f"{right} of {len(values)} outputs in {len(report)} case{'s' * (len(report) != 1)} are within tolerance"
    return f"{message}; {idle} case{'s' * (idle != 1)} could not be run" if idle else message


if __name__ == "__main__":
    sys.exit(main())
