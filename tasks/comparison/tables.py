"""Write the table of what is finished of a comparison: it names the runs that are not, and says where seeds lack."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import config
from common.files import write_whole
from engine.logs import say
from tasks.comparison import provenance as made_from
from tasks.comparison.budgets import as_footer, budget
from tasks.comparison.plan import Plan
from tasks.comparison.runs import Job
from tasks.comparison.summary import Column, Measured, as_csv, as_markdown, read_csv, summarise

OWN = "the training itself"
BEGIN, END = "<!-- written by the comparison: begin -->", "<!-- written by the comparison: end -->"
DIRECTION = re.compile(r"[AI]_r(?P<k>\d+)")


class Findings(NamedTuple):
    """The finished runs of a comparison and their figures, and what lacks."""

    measured: list[Measured]  # the figures of all that is finished
    runs: list[Job]  # trainings and tests that these are of
    lacking: dict[tuple[str, int], list[str]]  # the names of the tests that are not finished, by training and seed
    absent: list[str]  # figures that the table asks for and a finished run does not have, a sentence each
    chances: dict[str, set[float]]  # what chance reaches according to the runs themselves, by heading

    def jobs(self) -> set[Job]:
        """Return what is finished, and what each was made from."""
        found, left = set(), list(self.runs)
        while left:
            job = left.pop()
            found.add(job)
            left += job.needs
        return found


def measure(plan: Plan) -> Findings:
    """Look at the tests of ``plan`` for all seeds that were begun."""
    made_from.forget()
    found = Findings([], [], {}, [], {})
    for name in plan.trainings:
        for seed in plan.begun_seeds():
            if plan.measures:
                _take(found, plan.training(name, seed), (name, seed), OWN, plan.measures)
            for test, step in plan.tests_of(name).items():
                _take(found, plan.test(test, name, seed), (name, seed), test, step.columns)
    return found


def _take(found: Findings, job: Job, of: tuple[str, int], what: str, columns: Mapping[str, Column]) -> None:
    """Add the figures of a run, or that it is not finished, or which figures it does not have."""
    if not job.finished():
        found.lacking.setdefault(of, []).append(what)
        return
    figures = job.figures()
    found.runs.append(job)
    for head, column in columns.items():
        if (chance := _chance(column.metric, figures)) is not None:
            found.chances.setdefault(head, set()).add(chance)
        if column.metric in figures:
            found.measured.append(Measured(*of, head, figures[column.metric]))
        else:
            found.absent.append(f"{of[0]} with seed {of[1]}: {what} has no {column.metric}")


def _chance(metric: str, figures: Mapping[str, float]) -> float | None:
    """Return the chance of a metric as a run measured it: of recalls, among its own images and captions."""
    found = figures.get(f"chance_{metric}")
    if found is None and (match := DIRECTION.fullmatch(metric)):
        found = figures.get(f"chance_recall@{match['k']}")
    return found


def _with_chances(columns: Mapping[str, Column], chances: Mapping[str, set[float]]) -> dict[str, Column]:
    """Return the columns with the chance on which all runs agree, where they say it."""
    agreed = {head: values for head, values in chances.items() if len(values) == 1}
    return {head: replace(column, chance=min(agreed.get(head, {column.chance}))) for head, column in columns.items()}


def write_tables(plan: Plan, folder: Path, page: Path | None = None, others: Sequence[Path] = ()) -> None:
    """Write ``comparison.md``, ``comparison.csv`` (every value) and ``comparison.json`` (with every command).

    ``page`` of the documentation is renewed as well. Of a seed that ``others``, ``comparison.csv`` files of other
    machines, measured too, the plan's own values count.
    """
    found = measure(plan)
    elsewhere = [one for path in others for one in read_csv(path) if one.training in plan.trainings]
    found.measured[:0] = elsewhere
    summaries = summarise(found.measured)
    columns = _with_chances(plan.columns(), found.chances)
    seeds = sorted({one.seed for one in found.measured})
    made = found.jobs()
    commands = [job.command for job in plan.jobs(seeds) if job in made]
    measured = {name: sorted({one.seed for one in found.measured if one.training == name}) for name in summaries}
    budgets = {name: {seed: budget(plan.training(name, seed).folder) for seed in own} for name, own in measured.items()}
    took = as_footer({name: list(rows.values()) for name, rows in budgets.items()})
    missing = _missing(found)
    text = (
        f"{_message(plan, seeds, missing)}{_elsewhere(elsewhere, others)}\n"
        f"{as_markdown(summaries, columns)}\n{_left_empty(found.absent)}"
        f"What the trainings took, means over their seeds in the table:\n\n{took}"
    )
    title = "# Comparison, not finished" if missing else "# Comparison"
    listed = "".join(f"    {command}\n" for command in commands)
    write_whole(folder / "comparison.md", f"{title}\n\n{text}\nWhat was run:\n\n{listed}".encode())
    write_whole(folder / "comparison.csv", as_csv(found.measured).encode())
    content = {
        "seeds": seeds,
        "missing": missing,
        "absent": found.absent,
        "chance": {head: column.chance for head, column in columns.items()},
        "table": {name: {head: one._asdict() for head, one in row.items()} for name, row in summaries.items()},
        "trainings": budgets,
        "commands": commands,
    }
    write_whole(folder / "comparison.json", json.dumps(_without_nan(content), indent=1).encode())
    if page is not None:
        former = page.read_text(encoding="utf-8") if page.is_file() else f"# {page.stem.replace('_', ' ')}\n"
        write_whole(page, renewed(former, f"{text}\nWhat was run:\n\n{listed}").encode())
    say(text)
    say(config.short(folder / "comparison.md"))


def renewed(page: str, table: str) -> str:
    """Return a page with ``table`` between the comparison's marks, or at its end; all else, such as remarks, stays."""
    before, mark, rest = page.partition(BEGIN)
    after = rest.partition(END)[2] if mark else "\n"
    before = before if mark else before.rstrip("\n") + "\n\n"
    return f"{before}{BEGIN}\n\n{table.strip()}\n\n{END}{after}"


def _elsewhere(measured: Sequence[Measured], files: Sequence[Path]) -> str:
    """Say which seeds other machines measured."""
    seeds = sorted({one.seed for one in measured})
    names = ", ".join(map(config.short, files))
    return f"Measured elsewhere: the seeds {', '.join(map(str, seeds))} ({names}).\n" if seeds else ""


def _missing(found: Findings) -> list[str]:
    """Name what is not finished, a line for each training and seed."""
    return [f"{name} with seed {seed}: {', '.join(tests)}" for (name, seed), tests in found.lacking.items()]


def _left_empty(absent: list[str]) -> str:
    """Name the figures that finished runs do not have."""
    return f"Left empty, for the runs' metrics.json has no such figure:\n\n{_lines(absent)}\n" if absent else ""


def _lines(texts: list[str]) -> str:
    return "".join(f"- {text}\n" for text in texts)


def _message(plan: Plan, seeds: list[int], missing: list[str]) -> str:
    """Say over which seeds the means are, and where each training started."""
    followers: dict[str, list[str]] = {}
    for name, step in plan.trainings.items():
        if step.start is not None:
            followers.setdefault(step.start, []).append(name)
    text = f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}.\n"
    for start, names in followers.items():
        text += f"From the {start} of the same seed: {', '.join(names)}.\n"
    if not missing:
        return text
    return (
        f"{text}\nSome runs are not finished, and a mean that lacks seeds says of how many it is and is never "
        f"bold. The same command with all seeds goes on with them. Without figures yet:\n\n{_lines(missing)}"
    )


def _without_nan(value: Any) -> Any:
    """Replace NaN by null, for JSON knows none: the standard deviation of one seed."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
