"""Every benchmark, each in a process of its own, and all rows in one table at the end.

``python -m benchmarks`` runs all of them at their default sizes, ``python -m benchmarks retrieval similarity`` some.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.table import ROWS_FILE, Row, print_table

NAMES = (
    "first_answer",
    "logmel",
    "world",
    "manifest",
    "loading",
    "similarity",
    "triplet",
    "retrieval",
    "training",
    "edited_negatives",
    "dissection",
    "directions",
    "word_detection",
    "word_regions",
    "text_to_image",
    "dialogues",
    "serve",
)


def main() -> int:
    """Run what the command line names; return how many benchmarks failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(NAMES)} (default: all)")
    names = parser.parse_args().names or NAMES
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; choose among {', '.join(NAMES)}")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        rows_file = Path(folder) / "rows.jsonl"
        rows_file.touch()
        for name in names:
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}"],
                env=os.environ | {ROWS_FILE: str(rows_file)},
                cwd=Path(__file__).resolve().parents[1],
                check=False,
            )
            if done.returncode:
                failed.append(name)
        rows = [Row(**json.loads(line)) for line in rows_file.read_text().splitlines()]
    if len(names) > 1:
        print_table("All of them", rows)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
