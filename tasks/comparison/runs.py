"""Runs of other configs, each in a process of its own and only once: what a comparison is made of.

A run is finished when its ``metrics.json`` is there and was made with the very settings asked for now, from the very
networks, data and weights that are there now (provenance.py). Of an older run that did not note what it was made from,
the settings decide, with a warning. Processes that want the same run wait for each other.
"""

import functools
import json
import logging
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import config
from common.errors import UserError
from common.parallel import locked
from engine.assemble import build_task, without_schedule
from engine.context import Context
from engine.settings import TrainerSettings
from engine.stand_in import Nodes, rehearse
from tasks.comparison import provenance as made_from

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
        needs: runs whose weights it is made from.
        replaced: whether what was made with other settings is written over; else run.py refuses to, and says so.
    """

    file: str
    settings: tuple[str, ...]
    folder: Path
    needs: tuple["Job", ...] = ()
    replaced: bool = False

    @property
    def metrics(self) -> Path:
        """Where its figures are once it is finished."""
        return self.folder / "metrics.json"

    @property
    def command(self) -> str:
        """The command for people, from the project's folder."""
        words = (word.replace(f"{config.PROJECT_ROOT}/", "") for word in self.settings)
        return " ".join(["python run.py -f", self.file, *map(_quoted, words)])

    def values(self) -> dict[str, Any]:
        """Check the config and return it.

        Raises:
            ConfigError: it is not valid.
        """
        return _values(self.file, self.settings)

    def rehearse(self) -> None:
        """Try task and data of a training that has still to make its data, before anything takes time.

        The weights that it starts from may be those of another training of the comparison, and are not looked at.

        Raises:
            UserError: task or data refuse their values; names the config.
        """
        values = self.values()
        if values.get("prepare") is None or not {"task", "data"} <= values.keys() or self.metrics.is_file():
            return
        prepare, data = (config.Factory.of(values[name], name) for name in ("prepare", "data"))
        try:
            rehearse(prepare, data, Context(self.file, values, []), _built_small)
        except UserError as error:
            raise UserError(f"{self.command}\n{error}") from error

    def digests(self) -> dict[str, str]:
        """What it is made from, as far as it is there.

        Raises:
            UserError: the weights of a network are missing or damaged.
        """
        return made_from.digests(self.values(), {config.short(one.folder): one.folder for one in self.needs})

    def finished(self) -> bool:
        """Whether there is nothing to do."""
        path = self.folder / "config.yaml"
        if not self.metrics.is_file() or not path.is_file():
            return False
        written = config.translated(config.parse_yaml(path.read_text(encoding="utf-8"), str(path)))
        if not _same(written, self.values()):
            return False
        record = made_from.read(self.folder)
        if record is None:
            log.warning(
                "%s does not say which networks and data it was made from; taken for finished. Delete that folder when "
                "any of them has changed since",
                config.short(self.folder),
            )
            return not self._overtaken()
        return record["complete"] and not self.changed()

    def changed(self) -> list[str]:
        """Name what is another one now than when the run was made or begun."""
        record = made_from.read(self.folder)
        return [] if record is None else made_from.changed(record, self.digests())

    def _overtaken(self) -> bool:
        """Whether a run without digests was made from one that has been made again, with digests."""
        known = [one.folder / made_from.FILE for one in self.needs]
        return any(self.metrics.stat().st_mtime < path.stat().st_mtime for path in known if path.is_file())

    def figures(self) -> dict[str, float]:
        """The metrics of the finished run."""
        return json.loads(self.metrics.read_text(encoding="utf-8"))

    def run(self) -> None:
        """Run it unless it is finished; what was interrupted goes on, unless it was made from something else.

        Raises:
            RunError: it failed; what it said stands above.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder.parent / f".{self.folder.name}.lock"):
            made_from.forget()
            if self.finished():
                log.info("%s is finished", config.short(self.folder))
                return
            log.info("%s", self.command)
            words, before = [*self.settings, *self._anew()], self.digests()
            if self.values().get("prepare") is not None:  # another process may be at making the data
                before = {name: digest for name, digest in before.items() if not name.startswith("data.")}
            made_from.write(self.folder, before, complete=False)
            code = call([sys.executable, str(config.PROJECT_ROOT / "run.py"), "-f", self.file, *words])
            if code == 0:  # data that the run prepared, or waited for, are known only now
                made_from.write(self.folder, self.digests() | before, complete=True)
        if code != 0 or not self.metrics.is_file():
            raise RunError(
                f"{config.short(self.folder)} ended with exit code {code} and without metrics.json; mend what it says "
                f"above and give the same command again, or try it alone: {self.command}"
            )

    def _anew(self) -> list[str]:
        """The word that makes run.py begin anew, where going on would keep what was made from something else."""
        other = self.changed()
        if other:
            log.info("%s is made again: %s changed", config.short(self.folder), ", ".join(other))
        overtaken = self.metrics.is_file() and made_from.read(self.folder) is None and self._overtaken()
        return ["run.resume=overwrite"] if self.replaced or other or overtaken else []


def _built_small(nodes: Nodes) -> None:
    build_task(
        without_schedule(nodes.task), nodes.data, TrainerSettings(epochs=1), 0, torch.device("cpu"), dry_run=True
    )


def call(command: list[str]) -> int:
    """Run a command and return its exit code; when this process is asked to stop, the command is asked once, and ends.

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


@functools.cache
def _values(file: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Check a config, which takes a second, once; see :func:`forget`."""
    return config.check(config.load(file, list(settings)))


def forget() -> None:
    """Read configs and networks anew the next time."""
    _values.cache_clear()
    made_from.forget()


def _same(written: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether two configs make the same; keys that came later count with their defaults."""
    former, now = _asked(written), _asked(_as_written(values))
    if former == now or not _within(former, now):
        return former == now
    return _asked(_as_written(config.with_defaults(written, Path("config.yaml")))) == now


def _as_written(values: dict[str, Any]) -> dict[str, Any]:
    return config.parse_yaml(config.dump(values), "settings")


def _within(former: Any, now: Any) -> bool:
    """Whether all that ``former`` says stands in ``now`` too."""
    if isinstance(former, dict) and isinstance(now, dict):
        return all(key in now and _within(value, now[key]) for key, value in former.items())
    return former == now


def _asked(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what does not change the result: the description, and what was to be done with an earlier run."""
    kept = {key: value for key, value in values.items() if key != "description"}
    if isinstance(kept.get("run"), dict):
        kept["run"] = {key: value for key, value in kept["run"].items() if key != "resume"}
    return kept


def _quoted(word: str) -> str:
    return f"'{word}'" if set(word) & set(" {}[]*'") else word
