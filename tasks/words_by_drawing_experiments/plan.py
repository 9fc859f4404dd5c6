"""Which runs a comparison has, from its configs: every training once a seed, every test on each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import UserError
from tasks.words_by_drawing_experiments.runs import Job

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
        settings = [*self.train_settings, *step.settings, f"seed={seed}", *place(folder)]
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
        settings = (*self.test_settings, *step.settings, f"model.run={tested.folder}", *place(folder))
        return Job(step.file, settings, folder, (tested,), replaced=True)

    def jobs(self, seeds: Sequence[int]) -> list[Job]:
        """All runs of some ``seeds``, in the order in which they can be done."""
        names = [(name, seed) for seed in seeds for name in (WARM_UP, *self.trainings)]
        tests = [self.test(test, name, seed) for name, seed in names for test in self.tests]
        return [*(self.training(name, seed) for name, seed in names), *tests]

    def begun_seeds(self) -> list[int]:
        """The seeds for which any training has begun, whoever did it."""
        found = {path.name for name in (WARM_UP, *self.trainings) for path in (self.folder / name).glob("seed_*")}
        return sorted(int(name.removeprefix("seed_")) for name in found if name.removeprefix("seed_").isdigit())


def place(folder: Path) -> list[str]:
    """Return the words that make ``folder`` the run folder of a command."""
    return [f"run.folder={folder.parent}", f"run.name={folder.name}"]
