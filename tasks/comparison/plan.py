"""List the runs of a comparison from its configs: each training once for each seed, each test on each training."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import UserError
from tasks.comparison.runs import Job
from tasks.comparison.summary import Column


@dataclass(frozen=True)
class Step:
    """A config that takes part in the comparison.

    Attributes:
        file: the config, as ``-f`` takes it.
        settings: ``key=value`` words for it; ``{seed}`` in them becomes the seed.
    """

    file: str
    settings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Training(Step):
    """A config that is trained once a seed.

    Attributes:
        start: name of an earlier training; it starts from that one's weights of the same seed. None: as its own config
            says.
    """

    start: str | None = None


@dataclass(frozen=True)
class Check(Step):
    """A test of trainings.

    Attributes:
        columns: measures of it in the table, by heading.
        of: the trainings that are tested; None for all.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    of: list[str] | None = None


@dataclass(frozen=True)
class Plan:
    """The runs of a comparison; its values are arguments of :func:`~tasks.comparison.compare.compare`.

    A name that no folder can have, or an unknown name of a training, is a UserError.
    """

    folder: Path
    trainings: dict[str, Training]
    tests: dict[str, Check]
    measures: dict[str, Column] = field(default_factory=dict)
    train_settings: list[str] = field(default_factory=list)
    test_settings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        odd = [name for name in (*self.trainings, *self.tests) if not name.replace("_", "").isalnum()]
        if odd:
            raise UserError(
                f"found the names {odd} of trainings or tests; expected letters, digits and _, since they become "
                "folders"
            )
        known: list[str] = []
        for name, step in self.trainings.items():
            if step.start is not None and step.start not in known:
                raise UserError(
                    f"trainings.{name}.start: found {step.start!r}; expected a training named before it: "
                    f"{', '.join(known) or 'there is none'}"
                )
            known.append(name)
        for name, test in self.tests.items():
            if missing := sorted(set(test.of or []) - set(known)):
                raise UserError(f"tests.{name}.of: found {missing}; the trainings are {', '.join(known)}")

    def training(self, name: str, seed: int) -> Job:
        """Return the run of the training ``name`` with ``seed``."""
        folder, step = self.folder / name / f"seed_{seed}", self.trainings[name]
        given = [word.replace("{seed}", str(seed)) for word in (*self.train_settings, *step.settings)]
        settings = [*given, f"seed={seed}", *run_settings(folder)]
        if step.start is None:
            return Job(step.file, tuple(settings), folder)
        start = self.training(step.start, seed)
        return Job(step.file, (*settings, f"init_from.path={start.folder}"), folder, (start,))

    def test(self, name: str, training: str, seed: int) -> Job:
        """Return the run of the test ``name`` on a training."""
        tested, step = self.training(training, seed), self.tests[name]
        folder = tested.folder / "tests" / name
        given = [word.replace("{seed}", str(seed)) for word in (*self.test_settings, *step.settings)]
        settings = (*given, f"model.run={tested.folder}", *run_settings(folder))
        return Job(step.file, settings, folder, (tested,), replaced=True)

    def tests_of(self, training: str) -> dict[str, Check]:
        """Return the tests of one ``training``, by name."""
        return {name: step for name, step in self.tests.items() if step.of is None or training in step.of}

    def jobs(self, seeds: Sequence[int]) -> list[Job]:
        """Return all runs of ``seeds``, each behind the runs that it needs."""
        names = [(name, seed) for seed in seeds for name in self.trainings]
        tests = [self.test(test, name, seed) for name, seed in names for test in self.tests_of(name)]
        return [*(self.training(name, seed) for name, seed in names), *tests]

    def columns(self) -> dict[str, Column]:
        """Return the measures of the table by heading, in their order."""
        parts = [self.measures, *(step.columns for step in self.tests.values())]
        return {head: column for part in parts for head, column in part.items()}

    def begun_seeds(self) -> list[int]:
        """Return the seeds that any training has a folder for."""
        found = {path.name for name in self.trainings for path in (self.folder / name).glob("seed_*")}
        return sorted(int(name.removeprefix("seed_")) for name in found if name.removeprefix("seed_").isdigit())


def run_settings(folder: Path) -> list[str]:
    """Return the settings that make ``folder`` the run folder of a command."""
    return [f"run.folder={folder.parent}", f"run.name={folder.name}"]
