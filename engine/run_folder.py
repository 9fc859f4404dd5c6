"""The folder of one run: its config, versions and code, and all its results."""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import config
from common import distributed
from common.errors import UserError
from common.files import append_whole, sweep, write_whole
from config.load import LONGEST_NAME
from engine import run_lock, text_log
from engine.run_info import run_info

log = logging.getLogger(__name__)

# Keys that may differ between a run and its continuation: they change how long or where it runs, not what it learns;
# and on_error, so that a run which a damaged file stopped can go on without it.
FREE_KEYS = ("trainer.epochs", "trainer.max_", "trainer.log_", "trainer.checkpoint", "run.", "launch.", "report")
FREE_ENDINGS = ("on_error", "workers", "prefetch", "budget_mb", "cpu_threads")
LARGEST = 2**63  # of a whole number in the history; a float holds no more than 309 digits
REPORT_FILES = ("metrics.json", "report.html", "queries.csv", "queries.json", "retrieval.json", "skipped.csv")


@dataclass
class RunSettings:
    """Folder of a run, and rules by which it goes on.

    Attributes:
        folder: the parent of all runs.
        name: the run's own folder below it; by default the config's name.
        resume: ``auto`` goes on with a run that is there, ``never`` refuses a folder that holds a run, ``overwrite``
            deletes its checkpoints, logs and report first. Workers that torchrun starts again go on whatever this says.
        changed_data: ``refuse`` to go on after the training set or generator changed, or ``accept`` the change.
    """

    folder: Path = Path("runs")
    name: str | None = None
    resume: Literal["auto", "never", "overwrite"] = "auto"
    changed_data: Literal["refuse", "accept"] = "refuse"

    @staticmethod
    def validate(name: str | None) -> Iterator[config.Problem]:
        """Yield an error for a name that leads elsewhere than below run.folder, or that no file system takes."""
        if name is None:
            return
        parts = name.split("/")
        odd = any(
            part in ("", ".", "..") or part != part.strip() or len(part.encode()) > LONGEST_NAME for part in parts
        )
        if odd or not name.isprintable():
            yield "name", f"found {config.shortened(name)}, expected the name of a folder below run.folder"

    def path(self, config_name: str) -> Path:
        """Return the run's own folder."""
        return config.resolve_path(self.folder) / (self.name or config_name)

    @property
    def resume_now(self) -> Literal["auto", "never", "overwrite"]:
        """Return ``resume`` of this process: what torchrun starts again goes on, since the first attempt obeyed it."""
        return "auto" if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) else self.resume


class RunFolder:
    """Paths and records of one run.

    Args:
        path: the folder.
        resume: what the command asks for, see :class:`RunSettings`; decides what it does after a stop.

    Attributes:
        rows: written to ``metrics.jsonl`` so far, those included that a resumed run kept.
        first_new_step: of the rows that this start writes.
    """

    def __init__(self, path: Path, resume: str = "auto") -> None:
        self.path, self.resume = path, resume
        self.prepared = False
        self.rows, self.first_new_step = 0, 0
        self.checkpoints = path / "checkpoints"
        self.snapshots = path / "snapshots"
        self.tensorboard = path / "tensorboard"
        self.config = path / "config.yaml"
        self.history = path / "metrics.jsonl"
        self.metrics = path / "metrics.json"

    @property
    def last(self) -> Path:
        """Return the newest checkpoint's path."""
        return self.checkpoints / "last.pt"

    @property
    def best(self) -> Path:
        """Return the path of the checkpoint with the best value of the task's metric."""
        return self.checkpoints / "best.pt"

    def check(self, values: dict[str, Any], resume: str) -> None:
        """Raise a UserError where the run cannot go on in this folder; only a lock is written.

        It cannot be made or written, holds a run of another config, or any with ``resume`` never, or another process
        writes it.
        """
        if distributed.is_main():
            run_lock.try_to_write(self.path)
        if self.config.exists() and resume != "overwrite":
            if resume == "never":
                raise UserError(f"{self.path} already holds a run; give another run.name, or run.resume=auto to go on")
            self._check_same(values)
        if self.path.is_dir() and distributed.is_main():
            run_lock.hold(self.path)

    def release(self) -> None:
        """End its text log and let other processes write the run again; the end of this process does so too."""
        text_log.end()
        run_lock.release(self.path)

    def prepare(self, values: dict[str, Any], resume: str, command: list[str]) -> None:
        """Make the folder, or continue the one that is there, if :meth:`check` lets it."""
        run_lock.try_to_write(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(values, resume)
        overwritten = self.config.exists() and resume == "overwrite"
        if overwritten:
            self._clear()
        text_log.begin(self.path, command)
        if self.config.exists() and not overwritten:
            self._say_changes(values)
        self.prepared = True
        sweep(self.path)
        self.checkpoints.mkdir(exist_ok=True)
        write_whole(self.config, config.dump(values).encode())
        info = run_info(command, values.get("seed"))
        path = self.path / "info.jsonl"
        earlier = path.read_bytes() if path.exists() else b""
        whole = earlier[: earlier.rfind(b"\n") + 1]  # a full disk may have cut the last row
        write_whole(path, whole + json.dumps(info).encode() + b"\n")

    def after_stop(self, what: str = "training") -> str:
        """Return what the command does when it is given again after its ``training`` or ``evaluation`` stopped."""
        other = self.prepared and self.resume != "auto"  # given again as it is, it would delete or refuse what is here
        saved = any(self.checkpoints.glob("*.pt")) and (self.prepared or self.resume == "auto")
        if saved:
            where = self.last if self.last.exists() else self.checkpoints
            return f"the same command{' with run.resume=auto' * other} goes on from {where}"
        refused = other and self.resume == "never"
        nothing = "no checkpoint was saved yet; " if what == "training" else ""
        return f"{nothing}the same command{' with run.resume=auto' * refused} starts the {what} from the beginning"

    def _clear(self) -> None:
        weights = [*self.checkpoints.glob("*.pt*"), *self.snapshots.glob("*.pt*")]
        reports = [self.path / name for name in (*REPORT_FILES, text_log.NAME)]
        for path in [*weights, *reports]:
            path.unlink(missing_ok=True)
        self.forget_logs()

    def forget_logs(self) -> None:
        """Delete the curves of a start that saved no checkpoint, or of a run that begins again."""
        for path in [*self.tensorboard.glob("events.*"), self.history]:
            path.unlink(missing_ok=True)

    def _check_same(self, values: dict[str, Any]) -> None:
        differences = [row for row in self._changes(values) if not _free(row[0])]
        if differences and any(self.checkpoints.glob("*.pt")):
            shown = "\n".join(f"  {key}: {old!r} there, {new!r} now" for key, old, new in differences[:8])
            raise UserError(
                f"{self.path} holds a run of another config:\n{shown}\n"
                "give another run.name=..., or run.resume=overwrite to start it again"
            )

    def _changes(self, values: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        former = config.translated(config.parse_yaml(self.config.read_text(encoding="utf-8"), str(self.config)))
        if differences := _differences(former, values):
            differences = _differences(config.with_defaults(former, self.config), values)
        return differences

    def _say_changes(self, values: dict[str, Any]) -> None:
        """Log what differs from the former start and keep that config beside the new one."""
        changes = self._changes(values)
        for key, old, new in changes:
            log.info("%s: %s was %r, is %r now", self.path.name, key, old, new)
        if changes:
            write_whole(self.config.with_name("config_former.yaml"), self.config.read_bytes())

    def append(self, row: dict[str, Any]) -> None:
        """Add one ``row``, values by name, to ``metrics.jsonl``."""
        append_whole(self.history, f"{json.dumps(row)}\n".encode())
        self.rows += 1

    def read_history(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl``, leaving out lines that are none, as one that was cut by a kill."""
        lines = self._lines()
        rows = [row for row in lines if row is not None]
        damaged = len(lines) - len(rows)
        if damaged:
            log.warning(
                "%s: left out %s", self.history, "a damaged line" if damaged == 1 else f"{damaged} damaged lines"
            )
        return rows

    def _lines(self) -> list[dict[str, Any] | None]:
        """Return the row of every line of the history, None for a damaged one."""
        if not self.history.exists():
            return []
        return [_row(line) for line in self.history.read_bytes().splitlines()]

    def keep_history(self, step: int, rows: int | None) -> None:
        """Drop the rows of ``metrics.jsonl`` that a run resumed at ``step`` will write again.

        Its checkpoint says how many ``rows`` there were; those of earlier versions do not (None): then rows up to
        ``step`` stay.
        """
        lines = self._lines()
        if rows is None:
            lines.sort(key=lambda line: line is not None and line["step"] > step)
            rows = sum(line is None or line["step"] <= step for line in lines)
        if len(lines) < rows:
            log.warning("%s has %d rows, but had %d at step %d", self.history, len(lines), rows, step)
        kept = [line for line in lines[:rows] if line is not None]
        write_whole(self.history, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self.rows = len(kept)
        self.first_new_step = min([step + 1, *(line["step"] for line in lines[rows:] if line is not None)])

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Return every logged scalar as a list of (step, value)."""
        found: dict[str, list[tuple[int, float]]] = {}
        for row in self.read_history():
            for name, value in row.items():
                if name not in ("step", "epoch") and isinstance(value, int | float):
                    found.setdefault(name, []).append((row["step"], float(value)))
        return found


def _row(line: bytes) -> dict[str, Any] | None:
    """Return the row of a line of the history; None where it is no row of values with a step."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] >= 0
    return row if fits and not any(isinstance(value, int) and abs(value) > LARGEST for value in row.values()) else None


def _free(key: str) -> bool:
    return key.startswith(FREE_KEYS) or key.endswith(FREE_ENDINGS) or key == "description"


def _differences(old: Any, new: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        rows = []
        for name in [*old, *(name for name in new if name not in old)]:
            rows += _differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
        return rows
    return [] if old == new else [(key, old, new)]
