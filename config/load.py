"""Find, read, inherit and override config files."""

import functools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from common.text_files import TextError, read_text
from config.signatures import ConfigError
from config.yaml_core import parse_argument, parse_yaml

PROJECT_ROOT = Path(__file__).resolve().parent.parent
CONFIG_FOLDER = PROJECT_ROOT / "config_files"
LARGEST_FILE = 4 * 2**20  # bytes
LONGEST_NAME, LONGEST_PATH = 255, 4095  # bytes, on every file system that is in use


@dataclass
class Config:
    """A config file after ``extends`` and overrides."""

    path: Path  # the file that was asked for
    values: dict[str, Any]  # its mapping, without ``extends``
    # where each leaf came from, key path to file name or "command line"
    origins: dict[str, str] = field(default_factory=dict)
    # what the command line gives as value, by key path, before it was parsed
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's path below ``config_files/`` without its ending, or its stem when it lies elsewhere."""
        if self.path.is_relative_to(CONFIG_FOLDER):
            return self.path.relative_to(CONFIG_FOLDER).with_suffix("").as_posix()
        return self.path.stem

    def origin(self, key_path: str) -> str:
        """Return the file or "command line" that set ``key_path``, or set the nearest key above or below it."""
        parts = key_path.split(".")
        for length in range(len(parts), 0, -1):
            prefix = ".".join(parts[:length])
            for key, origin in reversed(self.origins.items()):
                if key == prefix or key.startswith(prefix + "."):
                    return origin
        return short(self.path)


def join(key_path: str, key: str) -> str:
    """Return the key path of ``key`` in the mapping at ``key_path``."""
    return f"{key_path}.{key}" if key_path else key


def short(path: Path) -> str:
    """Return an absolute path relative to the project root where it lies below it."""
    return path.relative_to(PROJECT_ROOT).as_posix() if path.is_relative_to(PROJECT_ROOT) else str(path)


def resolve_path(text: str | Path) -> Path:
    """Expand ``~`` and environment variables; relative paths start at the project root. The path need not exist.

    A ConfigError says that an environment variable is not set, ``~name`` names no user, or no file can have the name.
    """
    expanded = os.path.expandvars(str(text))
    missing = re.search(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", expanded)
    if missing:
        raise ConfigError(f"the path '{text}' uses the environment variable {missing[1]}, which is not set")
    try:
        path = Path(expanded).expanduser()
        sizes = [len(os.fsencode(part)) for part in (path, *path.parts)]
    except RuntimeError as error:
        raise ConfigError(f"the path '{text}' begins with the home folder of a user that this machine lacks") from error
    except UnicodeEncodeError as error:
        raise ConfigError(f"the path {str(text)!r} holds characters that no file name has") from error
    if "\0" in expanded or max(sizes[1:], default=0) > LONGEST_NAME or sizes[0] > LONGEST_PATH:
        raise ConfigError(f"the path '{str(text)[:60]}...' has {sizes[0]} bytes or a NUL, which no file name can have")
    return path if path.is_absolute() else PROJECT_ROOT / path


def list_configs() -> list[Path]:
    """Return every file in ``config_files/`` that can be run (names that start with ``_`` are parts of others)."""
    return sorted(path for path in CONFIG_FOLDER.rglob("*.yaml") if not path.name.startswith("_"))


def descriptions() -> Iterator[tuple[Path, str]]:
    """Yield every file of :func:`list_configs` with the description that it has or inherits."""
    read = functools.cache(_read)  # what many extend is read once
    for path in list_configs():
        texts = [values["description"] for _, values in _chain(path, read) if "description" in values]
        yield path, str(texts[-1]) if texts else "(no description)"


def find(name: str) -> Path:
    """Return the file that a user means: a path, or a name in ``config_files/`` with or without ``.yaml``.

    A ConfigError says that nothing fits, or that a bare name fits files in several sub-folders.
    """
    names = [name] if name.endswith((".yaml", ".yml")) else [name + ".yaml", name]
    for candidate in names:
        for path in (CONFIG_FOLDER / candidate, Path(candidate).expanduser()):
            if path.is_file():
                return path.resolve()
    folder = CONFIG_FOLDER / name.removeprefix("config_files").strip("/")
    if folder.is_dir():
        inside = sorted(path.relative_to(CONFIG_FOLDER).as_posix() for path in folder.rglob("[!_]*.yaml"))
        raise ConfigError(f"'{name}' is a folder of configs; give one of them: {', '.join(inside)}")
    hits = [path for path in list_configs() if path.name in names]
    if len(hits) == 1:
        return hits[0]
    known = [path.relative_to(CONFIG_FOLDER).as_posix() for path in list_configs()]
    if hits:
        fitting = ", ".join(short(path) for path in hits)
        raise ConfigError(f"'{name}' fits several configs ({fitting}): give the folder as well")
    ways = {way: full for full in known for way in (Path(full).stem, full.removesuffix(".yaml"))}
    near = get_close_matches(name.removesuffix(".yaml"), ways, n=1)
    hint = f"; did you mean '{ways[near[0]]}'?" if near else ""
    raise ConfigError(
        f"there is no config '{name}', neither in config_files/ nor as a path{hint} (--list shows every config)"
    )


def load(name: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a config with everything it extends, then apply overrides; it is not yet checked.

    Args:
        name: see :func:`find`.
        overrides: ``key.sub=value`` strings; for values see :func:`config.yaml_core.parse_argument`, list items are
            addressed by number.

    Raises:
        ConfigError: a file is missing or is not a YAML mapping, ``extends`` goes in a circle, an override is malformed.
    """
    path = find(str(name))
    config = Config(path, {})
    for part, values in _chain(path, _read):
        config.values = _merge(config.values, values, short(part), "", config.origins)
    for text in overrides or []:
        _override(config, text)
    return config


def _chain(path: Path, read: Callable[[Path], dict[str, Any]]) -> list[tuple[Path, dict[str, Any]]]:
    """Return the values of the file and of everything that it extends, the most basic first."""
    chain: dict[Path, dict[str, Any]] = {}
    while path not in chain:
        values = dict(read(path))
        parent = values.pop("extends", None)
        chain[path] = values
        if parent is None:
            return [*chain.items()][::-1]
        if not isinstance(parent, str):
            raise ConfigError(f"{short(path)}: extends: found {parent!r}, expected a file name")
        beside = (path.parent / parent).resolve()
        path = beside if beside.is_file() else find(parent)
    raise ConfigError(f"{short(path)}: extends goes in a circle: {' -> '.join(short(part) for part in [*chain, path])}")


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_FILE:
        raise ConfigError(f"{short(path)} has {path.stat().st_size} bytes, expected a config of at most {LARGEST_FILE}")
    try:
        text = read_text(path)
    except TextError as error:
        raise ConfigError(str(error)) from error
    values = parse_yaml(text, short(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{short(path)}: found {type(values).__name__}, expected a mapping of keys to values")
    return values


def _merge(base: Any, new: Any, source: str, key_path: str, origins: dict[str, str]) -> Any:
    """Lay ``new`` over ``base``: mappings are merged, except where ``type`` changes; all else is replaced."""
    same_type = (
        isinstance(base, dict) and isinstance(new, dict) and base.get("type") == new.get("type", base.get("type"))
    )
    if isinstance(new, dict):
        merged = dict(base) if same_type else {}
        for key, value in new.items():
            merged[key] = _merge(merged.get(key), value, source, join(key_path, key), origins)
        if not new:
            origins[key_path] = source
        return merged
    origins[key_path] = source
    return new


def _override(config: Config, text: str) -> None:
    key_path, equals, value_text = text.partition("=")
    if not equals or not key_path.strip():
        raise ConfigError(f"the argument '{text}' is not of the form key.sub=value")
    value = parse_argument(value_text, f"the argument '{text}'")
    keys = key_path.strip().split(".")
    node: Any = config.values
    for depth, key in enumerate(keys[:-1]):
        if isinstance(node, list):
            node = node[_list_index(node, key, text)]
        else:
            if node.get(key) is None:
                node[key] = {}
            node = node[key]
        if not isinstance(node, dict | list):
            raise ConfigError(f"the argument '{text}': {'.'.join(keys[: depth + 1])} is a value, not a mapping")
    if isinstance(node, list):
        node[_list_index(node, keys[-1], text)] = value
    else:
        node[keys[-1]] = _merge(node.get(keys[-1]), value, "command line", key_path, config.origins)
    config.origins[key_path] = "command line"
    config.arguments[key_path] = value_text.strip()


def _list_index(node: list[Any], key: str, text: str) -> int:
    if not node:
        raise ConfigError(f"the argument '{text}': found '{key}' below an empty list; give the whole list")
    if not key.isdecimal() or len(key) > 9 or int(key) >= len(node):
        raise ConfigError(f"the argument '{text}': found '{key}', expected a list position from 0 to {len(node) - 1}")
    return int(key)
