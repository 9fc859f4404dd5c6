"""Write the table of a comparison's finished runs; it also names the runs that are not finished."""

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
from tasks.results_page import renew_page

OWN = "the training itself"
WRITER = "the comparison"  # in marks of pages
DIRECTION = re.compile(r"[AI]_r(?P<k>\d+)")


class Findings(NamedTuple):
    """The finished runs of a comparison with their figures, and the names of missing runs and figures."""

    measured: list[Measured]  # figures of the finished runs
    runs: list[Job]  # the finished trainings and tests
    lacking: dict[tuple[str, int], list[str]]  # tests that are not finished, by training and seed
    absent: list[str]  # figures that a finished run does not have although the table shows them, a sentence each
    chances: dict[str, set[float]]  # figures by chance that the runs themselves give, by heading

    def jobs(self) -> set[Job]:
        """Return the finished runs and the runs that each was made from."""
        found, left = set(), list(self.runs)
        while left:
            job = left.pop()
            found.add(job)
            left += job.needs
        return found


def measure(plan: Plan) -> Findings:
    """Collect the figures of the runs of ``plan`` for all seeds that were begun."""
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
    """Add the figures of a run to ``found``; without ``metrics.json`` its name, and the figures that it lacks."""
    if not job.finished():
        found.lacking.setdefault(of, []).append(what)
        return
    figures = job.figures()
    found.runs.append(job)
    for head, column in columns.items():
        if column.of is not None and of[0] not in column.of:
            continue
        if (chance := _chance(column.metric, figures)) is not None:
            found.chances.setdefault(head, set()).add(chance)
        if figures.get(column.metric) is not None:
            found.measured.append(Measured(*of, head, figures[column.metric]))
        else:
            found.absent.append(f"{of[0]} with seed {of[1]}: {what} has no {column.metric}")


def _chance(metric: str, figures: Mapping[str, float | None]) -> float | None:
    """Return the value that a metric reaches by chance, from a run's own figures; None where they lack it."""
    found = figures.get(f"chance_{metric}")
    if found is None and (match := DIRECTION.fullmatch(metric)):
        found = figures.get(f"chance_recall@{match['k']}")
    return found


def _with_chances(columns: Mapping[str, Column], chances: Mapping[str, set[float]]) -> dict[str, Column]:
    """Return the columns with the runs' own chance in place of the config's, where all runs agree on it."""
    agreed = {head: values for head, values in chances.items() if len(values) == 1}
    return {head: replace(column, chance=min(agreed.get(head, {column.chance}))) for head, column in columns.items()}


def write_tables(plan: Plan, folder: Path, page: Path | None = None, others: Sequence[Path] = ()) -> None:
    """Write ``comparison.md``, ``comparison.csv`` (every value) and ``comparison.json`` (with every command).

    The same table replaces the one in ``page`` of the documentation. ``others`` are ``comparison.csv`` files of other
    machines; where both measured a seed, the plan's own values count.
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
        own = {job.command for job in plan.jobs(seeds[:1])}
        first = "".join(f"    {command}\n" for command in commands if command in own)
        head = f"What was run with seed {seeds[0]}; the other seeds alike:" if seeds else "What was run: nothing yet"
        renew_page(page, f"{text}\n{head}\n\n{first}", WRITER)
    say(text)
    say(config.short(folder / "comparison.md"))


def _elsewhere(measured: Sequence[Measured], files: Sequence[Path]) -> str:
    """Return the sentence that names the seeds of other machines; empty without any."""
    seeds = sorted({one.seed for one in measured})
    names = ", ".join(map(config.short, files))
    return f"Measured elsewhere: the seeds {', '.join(map(str, seeds))} ({names}).\n" if seeds else ""


def _missing(found: Findings) -> list[str]:
    """Return a line for each training and seed that names its unfinished tests."""
    return [f"{name} with seed {seed}: {', '.join(tests)}" for (name, seed), tests in found.lacking.items()]


def _left_empty(absent: list[str]) -> str:
    """Return the paragraph that names the figures that finished runs do not have; empty without any."""
    return f"Left empty, for the runs' metrics.json has no such figure:\n\n{_lines(absent)}\n" if absent else ""


def _lines(texts: list[str]) -> str:
    return "".join(f"- {text}\n" for text in texts)


def _message(plan: Plan, seeds: list[int], missing: list[str]) -> str:
    """Return the text above the table: its seeds, the start of each training, and the unfinished runs."""
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
    """Replace NaN, the standard deviation of one seed, by None, since JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
