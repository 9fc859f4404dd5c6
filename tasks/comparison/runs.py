"""Run each config that a comparison needs, once and in a process of its own.

A run is finished when its ``metrics.json`` was made with the present settings and from the present networks, data and
weights (provenance.py). An older run without ``made_from.json`` is judged by its settings alone, with a warning.
Processes that want the same run wait for each other.
"""

import functools
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
from evaluation.report.retrieval import has_metrics, read_metrics
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
        replaced: whether a run with other settings is written over; else run.py refuses such a folder.
    """

    file: str
    settings: tuple[str, ...]
    folder: Path
    needs: tuple["Job", ...] = ()
    replaced: bool = False

    @property
    def metrics(self) -> Path:
        """Return the path of the figures of the finished run."""
        return self.folder / "metrics.json"

    @property
    def command(self) -> str:
        """Return the command as people type it in the project's folder."""
        words = (word.replace(f"{config.PROJECT_ROOT}/", "") for word in self.settings)
        return " ".join(["python run.py -f", self.file, *map(_quoted, words)])

    def values(self) -> dict[str, Any]:
        """Check the config and return it.

        Raises:
            ConfigError: it is not valid.
        """
        return _values(self.file, self.settings)

    def rehearse(self) -> None:
        """Try task and data of a training whose data are not made yet, before anything takes time.

        The weights that it starts from are not looked at: another training of the comparison may have to make them.

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
        """Return the digests of the files that it is made from and that exist.

        Raises:
            UserError: the weights of a network are missing or damaged.
        """
        return made_from.digests(self.values(), {config.short(one.folder): one.folder for one in self.needs})

    def finished(self) -> bool:
        """Return whether there is nothing to do."""
        path = self.folder / "config.yaml"
        if not has_metrics(self.metrics) or not path.is_file():
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
        """Return the names of the files and networks that have changed since the run was begun."""
        record = made_from.read(self.folder)
        return [] if record is None else made_from.changed(record, self.digests())

    def _overtaken(self) -> bool:
        """Return whether a run that this one needs was made again, with digests, after this one ended."""
        known = [one.folder / made_from.FILE for one in self.needs]
        return any(self.metrics.stat().st_mtime < path.stat().st_mtime for path in known if path.is_file())

    def figures(self) -> dict[str, float | None]:
        """Return the metrics of the finished run; None was not finite."""
        return read_metrics(self.metrics)

    def run(self) -> None:
        """Run it unless it is finished; an interrupted run goes on unless the files that it is made from have changed.

        Raises:
            RunError: it failed; its own messages stand above.
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
        """Return the setting that makes run.py begin anew, or none where the run may go on as it is."""
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
    """Run a command and return its exit code; an interrupt of this process ends the command by one SIGTERM."""
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
    """Return whether two configs make the same result; keys that came later count with their defaults."""
    former, now = _asked(written), _asked(_as_written(values))
    if former == now or not _within(former, now):
        return former == now
    return _asked(_as_written(config.with_defaults(written, Path("config.yaml")))) == now


def _as_written(values: dict[str, Any]) -> dict[str, Any]:
    return config.parse_yaml(config.dump(values), "settings")


def _within(former: Any, now: Any) -> bool:
    """Return whether every value of ``former`` stands in ``now`` too."""
    if isinstance(former, dict) and isinstance(now, dict):
        return all(key in now and _within(value, now[key]) for key, value in former.items())
    return former == now


def _asked(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out the keys that do not change the result: ``description`` and ``run.resume``."""
    kept = {key: value for key, value in values.items() if key != "description"}
    if isinstance(kept.get("run"), dict):
        kept["run"] = {key: value for key, value in kept["run"].items() if key != "resume"}
    return kept


def _quoted(word: str) -> str:
    return f"'{word}'" if set(word) & set(" {}[]*'") else word
