"""The one list of errors of a config, and the parts of a mapping without any."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from config.load import Config, join, short
from config.resolve import closest, did_you_mean
from config.validate import TO_TEXT

SUGGESTED = 3  # key paths that an error names
LIKENESS = 0.8  # of a name that may stand anywhere in a config, where many are near by chance


@dataclass(frozen=True)
class _UnknownKey:
    """A key that its owner does not take."""

    names: list[str]  # the key, and the keys below it as far as each mapping holds one alone
    known: Sequence[str]  # keys that the owner takes
    owner: str

    def message(self, hint: str) -> str:
        return f"unknown key{hint} ({self.owner} takes {', '.join(self.known) or 'nothing'})"


class Errors:
    """Collects (key path, message)."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self._unknown: dict[str, _UnknownKey] = {}  # by key path

    def add(self, key_path: str, message: str) -> None:
        """Note an error at a key path such as ``data.batch_size``."""
        self.rows.append((key_path, message))

    def add_unknown(self, key_path: str, value: Any, known: Sequence[str], owner: str) -> None:
        """Note a key that its ``owner`` does not take, with the nearest of the keys ``known`` to it."""
        key = key_path.rpartition(".")[2]
        self._unknown[key_path] = _UnknownKey(_names(key, value), known, owner)
        self.add(key_path, self._unknown[key_path].message(closest(key, known)))

    def look_elsewhere(self, values: dict[str, Any]) -> None:
        """Name for unknown keys the key paths of the checked ``values`` that end like them, wherever they stand."""
        unknown = tuple(f"{key_path}." for key_path in self._unknown)  # a node of unknown type is among values as it is
        known = (path for path in _key_paths(values) if not f"{path}.".startswith(unknown))
        paths = sorted(known, key=lambda path: path.count("."))
        for at, (key_path, _) in enumerate(self.rows):
            row = self._unknown.get(key_path)
            if row is not None and (found := _elsewhere(row, paths)):
                self.rows[at] = (key_path, row.message(did_you_mean(found, SUGGESTED)))

    def without(self, values: dict[str, Any], key_path: str, placeholders: bool = False) -> dict[str, Any]:
        """Return the mapping at ``key_path`` without the keys that have errors, in the mappings below it too.

        With ``placeholders`` an empty mapping stands for a node of unknown type: its content is unknown, its presence
        is not.
        """
        kept: dict[str, Any] = {}
        for key, value in values.items():
            inner = join(key_path, key)
            if isinstance(value, dict) and not self._at(inner) and not self._at(f"{inner}.type"):
                kept[key] = self.without(value, inner, placeholders)
            elif isinstance(value, dict) and placeholders and not self._at(inner):
                kept[key] = {}
            elif not self._at(inner) and not any(path.startswith(inner + ".") for path, _ in self.rows):
                kept[key] = value
        return kept

    def _at(self, key_path: str) -> bool:
        return any(path == key_path for path, _ in self.rows)

    def message(self, config: Config) -> str:
        """Return the list as text: file, and a line for each error with its key path and where that was set."""
        count = len(self.rows)
        lines = [f"{short(config.path)}: {count} error{'s' if count > 1 else ''}"]
        for key_path, message in self.rows:
            origins = [origin for origin in _origins(config, key_path) if origin != short(config.path)]
            where = f" [{', '.join(origins)}]" if origins else ""
            if message.endswith(TO_TEXT) and key_path in config.arguments:
                message += f", {key_path}='\"{config.arguments[key_path]}\"'"
            lines.append(f"  {key_path}{where}: {message}")
        return "\n".join(lines)


def _origins(config: Config, key_path: str) -> list[str]:
    """Return every origin of the values at and below ``key_path``, or that of the nearest key above."""
    found = dict.fromkeys(
        origin
        for key, origin in config.origins.items()
        if f"{key}.".startswith(f"{key_path}.") and _stands(config.values, key)
    )
    return list(found) or [config.origin(key_path)]


def _stands(node: Any, key_path: str) -> bool:
    """Return whether a mapping still has a key path, which an override may have replaced."""
    for key in key_path.split("."):
        if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict) and key in node:
            node = node[key]
        else:
            return False
    return True


def _names(key: str, value: Any) -> list[str]:
    """Return a key and the keys below it, as far as each mapping holds one alone and is no node."""
    names = [key]
    while isinstance(value, dict) and len(value) == 1 and "type" not in value:
        ((below, value),) = value.items()
        names.append(str(below))
    return names


def _key_paths(values: Any, key_path: str = "") -> Iterator[str]:
    """Yield the key paths of a config, those of mappings too."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        inner = join(key_path, str(key))
        yield inner
        yield from _key_paths(value, inner)


def _elsewhere(unknown: _UnknownKey, paths: Sequence[str]) -> list[str]:
    """Return the key paths that an unknown key may stand for; none where the keys of its owner are nearer.

    These end like the whole of it (``optimizer.lr``), or like its last name, or like its first ones; or else their last
    name resembles its last or first.
    """
    names = unknown.names
    for ending in (names, names[-1:], *(names[:count] for count in range(len(names) - 1, 0, -1))):
        if found := [path for path in paths if path.split(".")[-len(ending) :] == ending]:
            return found
    if get_close_matches(names[0], unknown.known, n=1, cutoff=LIKENESS):
        return []
    last = {path: path.rpartition(".")[2] for path in paths}
    matches = (get_close_matches(name, set(last.values()), n=1, cutoff=LIKENESS) for name in (names[-1], names[0]))
    near = next(filter(None, matches), [])
    return [path for path, name in last.items() if name in near]
