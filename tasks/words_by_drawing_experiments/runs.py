"""Runs of other configs, each in a process of its own and only once: what a comparison is made of.

A run is finished when its ``metrics.json`` is there, was made with the very settings asked for now, and is not older
than what it was made from. Processes that want the same run wait for each other.
"""

import json
import logging
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import config
from datasets.parallel import locked
from engine.errors import UserError

log = logging.getLogger(__name__)


class RunError(UserError):
    """A run that ended without what it was to make."""


@dataclass(frozen=True)
class Job:
    """One command of run.py.

    Attributes:
        file: the config, as ``-f`` takes it.
        settings: ``key=value`` words behind it.
        folder: the run folder that the settings name.
        needs: runs, whose ``metrics.json`` it is made from.
    """

    file: str
    settings: tuple[str, ...]
    folder: Path
    needs: tuple["Job", ...] = ()

    @property
    def metrics(self) -> Path:
        """Where its figures are once it is finished."""
        return self.folder / "metrics.json"

    @property
    def command(self) -> str:
        """The command for people, from the project's folder."""
        return " ".join(["python run.py -f", self.file, *(_quoted(word) for word in self.settings)])

    def values(self) -> dict[str, Any]:
        """Check the config and return it.

        Raises:
            ConfigError: it is not valid.
        """
        return config.check(config.load(self.file, list(self.settings)))

    def finished(self) -> bool:
        """Whether there is nothing to do."""
        path = self.folder / "config.yaml"
        if not self.metrics.is_file() or not path.is_file():
            return False
        if any(
            self.metrics.stat().st_mtime < one.metrics.stat().st_mtime for one in self.needs if one.metrics.exists()
        ):
            return False
        there = config.parse_yaml(path.read_text(encoding="utf-8"), str(path))
        words = {"description": None}  # other words for the same settings
        return there | words == _as_written(self.values()) | words

    def figures(self) -> dict[str, float]:
        """The metrics of the finished run."""
        return json.loads(self.metrics.read_text(encoding="utf-8"))

    def run(self) -> None:
        """Run it unless it is finished; what was interrupted goes on.

        Raises:
            RunError: it failed; what it said stands above.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder.parent / f".{self.folder.name}.lock"):
            if self.finished():
                log.info("%s is finished", config.short(self.folder))
                return
            log.info("%s", self.command)
            code = call([sys.executable, str(config.PROJECT_ROOT / "run.py"), "-f", self.file, *self.settings])
        if code != 0 or not self.metrics.is_file():
            raise RunError(
                f"{config.short(self.folder)} ended with exit code {code} and without metrics.json; mend what it says "
                f"above and give the same command again, or try it alone: {self.command}"
            )


def call(command: list[str]) -> int:
    """Run a command and return its exit code; when this process is told to stop, the command is told once, and ends.

    Args:
        command: program and arguments.
    """
    child = subprocess.Popen(command, cwd=config.PROJECT_ROOT, process_group=0)
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGTERM)
        child.wait()
        raise


def _as_written(values: dict[str, Any]) -> Any:
    return config.parse_yaml(config.dump(values), "settings")


def _quoted(word: str) -> str:
    return f"'{word}'" if set(word) & set(" {}[]*'") else word
