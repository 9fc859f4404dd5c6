"""Facts of run.py that an entry function may want: the config itself, the command line, and whether to write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import config


@dataclass
class Context:
    """Facts for entries that declare a parameter ``context``; never set in YAML."""

    name: str  # the config's name, such as ``tuxpaint/train``
    values: dict[str, Any]  # the complete resolved config
    command: list[str]  # the command line
    dry_run: bool = False  # build everything, run one step, write nothing
    # set by an entry that knows what the same command does after an interruption
    after_stop: Callable[[], str] | None = None

    @property
    def run_name(self) -> str:
        """Return the run's name: its ``run.name``, or the config's name where it has none of its own."""
        return (self.values.get("run") or {}).get("name") or self.name

    @property
    def config_text(self) -> str:
        """The resolved config as YAML."""
        return config.dump(self.values)

    def redirect(self, old: Path, new: Path) -> None:
        """Replace every path at or below ``old`` by the same one below ``new``, in place."""
        self.values = _redirect(self.values, old, new)


def _redirect(value: Any, old: Path, new: Path) -> Any:
    if isinstance(value, dict):
        return {key: _redirect(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_redirect(item, old, new) for item in value]
    if isinstance(value, str) and "/" in value:
        path = config.resolve_path(value)
        if path.is_relative_to(old):
            return str(new / path.relative_to(old))
    return value
