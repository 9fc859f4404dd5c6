"""Does it help to draw negatives? Trainings from one start, tested alike: ``run.py -f words_by_drawing/compare.yaml``.

For each seed one warm-up, then every training for the same number of epochs from its weights ("Learning Words by
Drawing Images", CVPR 2019, starts its negatives from a trained regular model too), then every test on each. What is
finished is not done again, so the command goes on after a stop, and seeds can be shared out among processes
(``seeds=[0]`` and ``seeds=[1,2]``); the table holds all runs in the folder that are finished.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt

import config
from datasets.parallel import locked
from engine.context import Context
from engine.errors import UserError
from engine.logs import console
from engine.whole_files import write_whole
from evaluation.comparison import Measured, as_csv, as_markdown, summarise
from tasks.words_by_drawing_experiments import made_from
from tasks.words_by_drawing_experiments.budgets import as_footer, budget
from tasks.words_by_drawing_experiments.runs import Job, forget

log = logging.getLogger(__name__)
WARM_UP = "warm_up"


@dataclass(frozen=True)
class Step:
    """A config that takes part in the comparison.

    Attributes:
        file: the config, as ``-f`` takes it.
        settings: ``key=value`` words for it.
    """

    file: str
    settings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Column:
    """A measure of the table.

    Attributes:
        metric: its name in the test's ``metrics.json``.
        chance: what chance reaches; None where nobody knows.
    """

    metric: str
    chance: float | None = None


@dataclass(frozen=True)
class Check(Step):
    """A test of every training.

    Attributes:
        columns: what the table shows of it, by heading.
    """

    columns: dict[str, Column] = field(default_factory=dict)


def compare(
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)],
    warm_up: Step,
    trainings: dict[str, Step],
    tests: dict[str, Check],
    context: Context,
    negatives: Step | None = None,
    train_settings: list[str] = [],  # noqa: B006  never changed
    test_settings: list[str] = [],  # noqa: B006  never changed
    folder: Path = Path("runs/words_by_drawing/comparison"),
) -> None:
    """Train, test and write the table.

    Args:
        seeds: of the trainings; each has a warm-up of its own.
        warm_up: the training that all others of a seed start from.
        trainings: by name.
        tests: by name.
        context: given by run.py.
        negatives: makes the negatives of a test, at its ``output``; done once, when that file is missing.
        train_settings: ``key=value`` words for the warm-up and every training.
        test_settings: the same for every test, and for ``negatives``.
        folder: of all runs, and of ``comparison.md``, ``.csv`` and ``.json``.

    Raises:
        UserError: a config is not valid, names are not fit for folders, or a run failed.
    """
    forget()
    folder = config.resolve_path(folder)
    plan = Plan(folder, warm_up, trainings, tests, train_settings, test_settings)
    for job in plan.jobs(seeds[:1]):  # faults are told before hours are spent
        job.values()
    if context.dry_run:
        log.info("%d runs, all valid; nothing was run", len(plan.jobs(seeds)))
        return
    for seed in seeds:
        for name in (WARM_UP, *trainings):
            plan.training(name, seed).run()
        if negatives is not None:
            ensure_negatives(Step(negatives.file, [*test_settings, *negatives.settings]), folder)
        for job in plan.jobs([seed]):
            job.run()
    write_tables(plan, folder)


@dataclass(frozen=True)
class Plan:
    """Which runs there are, and what each is made from.

    Attributes:
        folder: of all runs.
        warm_up: the training that all others of a seed start from.
        trainings: by name.
        tests: by name.
        train_settings: for the warm-up and every training.
        test_settings: for every test.

    Raises:
        UserError: a name cannot be a folder's, or a training is called as the warm-up is.
    """

    folder: Path
    warm_up: Step
    trainings: dict[str, Step]
    tests: dict[str, Check]
    train_settings: list[str]
    test_settings: list[str]

    def __post_init__(self) -> None:
        odd = [name for name in (*self.trainings, *self.tests) if not name.replace("_", "").isalnum()]
        if odd or WARM_UP in self.trainings:
            raise UserError(
                f"found the names {odd or [WARM_UP]} of trainings or tests; expected letters, digits and _, since they "
                f"become folders, and another name than {WARM_UP} for trainings"
            )

    def training(self, name: str, seed: int) -> Job:
        """The run of the training ``name``, or of the warm-up, with ``seed``."""
        folder = self.folder / name / f"seed_{seed}"
        step = self.warm_up if name == WARM_UP else self.trainings[name]
        settings = [*self.train_settings, *step.settings, f"seed={seed}", *_place(folder)]
        if name == WARM_UP:
            return Job(step.file, tuple(settings), folder)
        start = self.training(WARM_UP, seed)
        return Job(step.file, (*settings, f"init_from.path={start.folder}"), folder, (start,))

    def test(self, name: str, training: str, seed: int) -> Job:
        """The run of a test on a training.

        Args:
            name: of the test.
            training: name of the training.
            seed: of the training's run.

        Returns:
            The job.
        """
        tested, step = self.training(training, seed), self.tests[name]
        folder = tested.folder / "tests" / name
        settings = (*self.test_settings, *step.settings, f"model.run={tested.folder}", *_place(folder))
        return Job(step.file, settings, folder, (tested,), replaced=True)

    def jobs(self, seeds: Sequence[int]) -> list[Job]:
        """All runs of some ``seeds``, in the order in which they can be done."""
        names = [(name, seed) for seed in seeds for name in (WARM_UP, *self.trainings)]
        tests = [self.test(test, name, seed) for name, seed in names for test in self.tests]
        return [*(self.training(name, seed) for name, seed in names), *tests]

    def finished_seeds(self) -> list[int]:
        """The seeds for which anything has been trained, whoever did it."""
        found = {path.parent.name for path in self.folder.glob("*/seed_*/metrics.json")}
        return sorted(int(name.removeprefix("seed_")) for name in found if name.removeprefix("seed_").isdigit())


def _place(folder: Path) -> list[str]:
    return [f"run.folder={folder.parent}", f"run.name={folder.name}"]


def ensure_negatives(step: Step, folder: Path) -> None:
    """Make the file of negatives unless it is there as asked for; a second process waits for the first.

    A file that no comparison in ``folder`` made is taken as it is.

    Args:
        step: the config that makes it, and settings; its ``output`` is the file.
        folder: of all runs; the run that makes the file is written below it.

    Raises:
        UserError: the config has no ``output``, or the command failed.
    """
    settings = (*step.settings, *_place(folder / "negatives"))
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


def measure(plan: Plan) -> list[Measured]:
    """Read the figures of all finished tests of ``plan``."""
    made_from.forget()
    found = []
    for name in (WARM_UP, *plan.trainings):
        for seed in plan.finished_seeds():
            for test, step in plan.tests.items():
                job = plan.test(test, name, seed)
                if job.finished():
                    figures = job.figures()
                    found += [
                        Measured(name, seed, head, figures[column.metric]) for head, column in step.columns.items()
                    ]
    return found


def write_tables(plan: Plan, folder: Path) -> None:
    """Write ``comparison.md``, ``comparison.csv`` (every value) and ``comparison.json`` (with every command).

    Args:
        plan: whose finished tests are looked at, of all seeds.
        folder: where to.
    """
    measured = measure(plan)
    summaries = summarise(measured)
    columns = {head: column.chance for step in plan.tests.values() for head, column in step.columns.items()}
    seeds = sorted({one.seed for one in measured})
    commands = [job.command for job in plan.jobs(seeds)]
    budgets = {name: [budget(plan.training(name, seed).folder) for seed in seeds] for name in summaries}
    table = f"{as_markdown(summaries, columns)}\nWhat the trainings took, means over the seeds:\n\n{as_footer(budgets)}"
    told = (
        f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}. Every training started from the "
        f"{WARM_UP} of its seed; all were trained for the same number of epochs.\n"
    )
    listed = "".join(f"    {command}\n" for command in commands)
    write_whole(folder / "comparison.md", f"# Comparison\n\n{told}\n{table}\nWhat was run:\n\n{listed}".encode())
    write_whole(folder / "comparison.csv", as_csv(measured).encode())
    content = {
        "seeds": seeds,
        "chance": columns,
        "table": {name: {head: one._asdict() for head, one in row.items()} for name, row in summaries.items()},
        "trainings": {name: dict(zip(map(str, seeds), rows, strict=True)) for name, rows in budgets.items()},
        "commands": commands,
    }
    write_whole(folder / "comparison.json", json.dumps(_without_nan(content), indent=1).encode())
    console.print(table, highlight=False, markup=False, soft_wrap=True)
    console.print(config.short(folder / "comparison.md"), highlight=False, soft_wrap=True)


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: the spread of one seed becomes null."""
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
