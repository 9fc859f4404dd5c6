"""Find, read, inherit and override config files."""

import os
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from config.types import ConfigError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
CONFIG_FOLDER = PROJECT_ROOT / "config_files"


@dataclass
class Config:
    """A config file after ``extends`` and overrides.

    Attributes:
        path: the file that was asked for.
        values: its mapping, without ``extends``.
        origins: where each leaf came from, key path to file name or "command line".
    """

    path: Path
    values: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)

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


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats (``1e-3`` is a number), no octal numbers (``01100`` is text) and no duplicate keys."""


_INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)$")
_FLOAT = re.compile(
    r"^[-+]?(\.[0-9]+|(?!0[0-9]+$)[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)
_REPLACED = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] not in _REPLACED]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def _mapping_without_duplicates(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    seen: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is no name", key_node.start_mark)
        if str(key) in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' stands twice", key_node.start_mark)
        seen[str(key)] = loader.construct_object(value_node, deep=True)
    return seen


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def short(path: Path) -> str:
    """Return a path relative to the project root where it lies below it.

    Args:
        path: absolute.
    """
    return path.relative_to(PROJECT_ROOT).as_posix() if path.is_relative_to(PROJECT_ROOT) else str(path)


def resolve_path(text: str | Path) -> Path:
    """Expand ``~`` and environment variables; relative paths start at the project root.

    Args:
        text: a path as a config or a command line gives it.

    Returns:
        An absolute path, which need not exist.

    Raises:
        ConfigError: an environment variable in the path is not set.
    """
    expanded = os.path.expandvars(str(text))
    missing = re.search(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", expanded)
    if missing:
        raise ConfigError(f"the path '{text}' uses the environment variable {missing[1]}, which is not set")
    path = Path(expanded).expanduser()
    return path if path.is_absolute() else PROJECT_ROOT / path


def list_configs() -> list[Path]:
    """Return every file in ``config_files/`` that can be run (names that start with ``_`` are parts of others)."""
    return sorted(path for path in CONFIG_FOLDER.rglob("*.yaml") if not path.name.startswith("_"))


def find(name: str) -> Path:
    """Return the file that a user means by ``name``.

    Args:
        name: a path, or a name looked up in ``config_files/`` with or without ``.yaml``, sub-folders allowed.

    Raises:
        ConfigError: nothing fits, or a bare name fits files in several sub-folders.
    """
    names = [name] if name.endswith((".yaml", ".yml")) else [name + ".yaml", name]
    for candidate in names:
        for path in (CONFIG_FOLDER / candidate, Path(candidate).expanduser()):
            if path.is_file():
                return path.resolve()
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


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML text safely.

    Args:
        text: one YAML document.
        source: the file's name or other origin, for messages.

    Returns:
        Plain values: mappings, lists, text, numbers, booleans, None.

    Raises:
        ConfigError: the text is not YAML, or a key stands twice; names ``source`` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{source}{line}: not valid YAML: {problem}") from error


def load(name: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a config with everything it extends, then apply overrides.

    Args:
        name: see :func:`find`.
        overrides: ``key.sub=value`` strings; values are parsed as YAML, list items are addressed by number.

    Returns:
        The config, not yet checked, with the origin of each value.

    Raises:
        ConfigError: a file is missing or is not a YAML mapping, ``extends`` goes in a circle, an override is malformed.
    """
    path = find(str(name))
    config = Config(path, {})
    for part in _chain(path):
        config.values = _merge(config.values, _read(part), short(part), "", config.origins)
    for text in overrides or []:
        _override(config, text)
    return config


def _read(path: Path) -> dict[str, Any]:
    values = parse_yaml(path.read_text(encoding="utf-8"), short(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{short(path)}: found {type(values).__name__}, expected a mapping of keys to values")
    return {key: value for key, value in values.items() if key != "extends"}


def _chain(path: Path) -> list[Path]:
    """Return the file and everything that it extends, the most basic first."""
    chain: list[Path] = []
    while path not in chain:
        chain.append(path)
        values = parse_yaml(path.read_text(encoding="utf-8"), short(path))
        parent = values.get("extends") if isinstance(values, dict) else None
        if parent is None:
            return chain[::-1]
        if not isinstance(parent, str):
            raise ConfigError(f"{short(path)}: extends: found {parent!r}, expected a file name")
        beside = (path.parent / parent).resolve()
        path = beside if beside.is_file() else find(parent)
    raise ConfigError(f"{short(path)}: extends goes in a circle: {' -> '.join(short(part) for part in [*chain, path])}")


def _merge(base: Any, new: Any, source: str, key_path: str, origins: dict[str, str]) -> Any:
    """Lay ``new`` over ``base``: mappings are merged, except where ``type`` changes; all else is replaced."""
    same_type = (
        isinstance(base, dict) and isinstance(new, dict) and base.get("type") == new.get("type", base.get("type"))
    )
    if isinstance(new, dict):
        merged = dict(base) if same_type else {}
        for key, value in new.items():
            inner = f"{key_path}.{key}" if key_path else key
            merged[key] = _merge(merged.get(key), value, source, inner, origins)
        if not new:
            origins[key_path] = source
        return merged
    origins[key_path] = source
    return new


def _override(config: Config, text: str) -> None:
    key_path, equals, value_text = text.partition("=")
    if not equals or not key_path.strip():
        raise ConfigError(f"the argument '{text}' is not of the form key.sub=value")
    value = parse_yaml(value_text, f"the argument '{text}'")
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


def _list_index(node: list[Any], key: str, text: str) -> int:
    if not key.isdecimal() or int(key) >= len(node):
        raise ConfigError(f"the argument '{text}': found '{key}', expected a list position from 0 to {len(node) - 1}")
    return int(key)


def dump(values: dict[str, Any]) -> str:
    """Return a config as YAML text, in the order of its keys.

    Args:
        values: plain values by key.
    """
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)
