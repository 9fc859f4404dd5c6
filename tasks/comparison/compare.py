"""Trainings tested alike, over seeds, in one table: ``python run.py -f words_by_drawing/compare.yaml``, for one.

For each seed, all trainings run first, each from the weights of its ``start``, then every test on each training.
Finished runs are not run again, so the command goes on after a stop, and seeds can be shared out among processes
(``seeds=[0]`` and ``seeds=[1,2]``). The table holds the finished runs in the folder and names the others.
"""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field

import config
from common.errors import UserError
from common.parallel import locked
from config.limits import Seed
from engine.context import Context
from tasks.comparison.plan import Check, Plan, Step, Training, run_settings
from tasks.comparison.runs import Job, forget
from tasks.comparison.summary import Column
from tasks.comparison.tables import write_tables

log = logging.getLogger(__name__)


def compare(
    seeds: Annotated[list[Seed], Field(min_length=1)],
    trainings: dict[str, Training | None],
    tests: dict[str, Check | None],
    context: Context,
    measures: dict[str, Column] = {},  # noqa: B006  never changed
    negatives: Step | None = None,
    train_settings: list[str] = [],  # noqa: B006  never changed
    test_settings: list[str] = [],  # noqa: B006  never changed
    folder: Path = Path("runs/comparison"),
    page: Path | None = None,
    others: list[Path] = [],  # noqa: B006  never changed
) -> None:
    """Train, test and write the table.

    Args:
        seeds: of the trainings.
        trainings: by name, each behind its ``start``; null takes one away that a config names.
        tests: by name; null as for trainings.
        context: given by run.py.
        measures: measures from the trainings' own ``metrics.json`` in the table, by heading.
        negatives: config that makes the negatives of a test, at its ``output``; run once, when that file is missing.
        train_settings: ``key=value`` words for every training.
        test_settings: the same for every test, and for ``negatives``.
        folder: of all runs, and of ``comparison.md``, ``.csv`` and ``.json``.
        page: of the documentation, such as docs/results/NAME.md, whose table is renewed as well.
        others: ``comparison.csv`` files of other machines, to which seeds were shared out: their values join the table.

    Raises:
        UserError: a config is not valid, names are not fit for folders or not those of a training, or a run failed.
    """
    forget()
    folder = config.resolve_path(folder)
    wanted = {name: step for name, step in trainings.items() if step is not None}
    checks = {name: step for name, step in tests.items() if step is not None}
    plan = Plan(folder, wanted, checks, measures, train_settings, test_settings)
    for job in plan.jobs(seeds[:1]):  # errors are reported before hours are spent
        job.values()
    for name in plan.trainings:
        plan.training(name, seeds[0]).rehearse()
    if context.dry_run:
        log.info("%d runs, all valid; nothing was run", len(plan.jobs(seeds)))
        return
    for seed in seeds:
        for name in plan.trainings:
            plan.training(name, seed).run()
        if negatives is not None:
            ensure_negatives(Step(negatives.file, [*test_settings, *negatives.settings]), folder)
        for job in plan.jobs([seed]):
            job.run()
    files = [config.resolve_path(path) for path in others]
    write_tables(plan, folder, None if page is None else config.resolve_path(page), files)


def ensure_negatives(step: Step, folder: Path) -> None:
    """Make the file of negatives, the ``output`` of ``step``, unless it is finished; a second process waits.

    A file that no comparison in ``folder`` made is taken as it is.
    """
    settings = (*step.settings, *run_settings(folder / "negatives"))
    job = Job(step.file, settings, folder / "negatives", replaced=True)
    output = job.values().get("output")
    if output is None:
        raise UserError(f"negatives: {step.file} has output: null; expected the file that the tests read")
    with locked(folder / ".negatives_file.lock"):
        path = config.resolve_path(output)
        if path.is_file() and not job.metrics.is_file():
            log.warning("%s was not made here and is taken as it is; delete it to have it made", config.short(path))
        elif path.is_file() and job.finished():
            log.info("%s is finished", config.short(path))
        else:
            job.metrics.unlink(missing_ok=True)
            job.run()
