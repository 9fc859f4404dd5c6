"""Say what the trainings of a comparison took, and what their negatives were like: was like compared with like?

Steps and seconds are those of the last checkpoint; change and reached are means of what ``metrics.jsonl`` logged.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine import checkpoint
from engine.run_folder import RunFolder

HEADS = {
    "steps": "steps",
    "seconds": "seconds",
    "change": "mean change of a negative",
    "reached": "share of negatives that reached the change threshold",
}
KEPT = {"steps": "step", "seconds": "seconds"}  # in a checkpoint
DIGITS = {"steps": 0, "seconds": 0, "change": 3, "reached": 3}


def budget(folder: Path) -> dict[str, float]:
    """Return a run's ``steps`` and ``seconds``, and of edited negatives ``change`` and ``reached``, as far as known."""
    run = RunFolder(folder)
    rows = run.read_history()
    found = {"steps": float(max(row["step"] for row in rows))} if rows else {}
    for name in ("change", "reached"):
        values = [row[key] for row in rows if (key := f"train/negatives/{name}") in row]
        if values:
            found[name] = sum(values) / len(values)
    if run.last.is_file():
        state = checkpoint.read(run.last)
        found |= {name: float(state[key]) for name, key in KEPT.items() if key in state}
    return found


def as_footer(budgets: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write a table: a row for each training, the means over its seeds; what no training has is left out."""
    known = [name for name in HEADS if any(name in one for seeds in budgets.values() for one in seeds)]
    lines = [["", *(HEADS[name] for name in known)], ["---"] * (len(known) + 1)]
    for training, seeds in budgets.items():
        values = {name: [one[name] for one in seeds if name in one] for name in known}
        cells = [f"{sum(row) / len(row):.{DIGITS[name]}f}" if row else "" for name, row in values.items()]
        lines.append([training, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
