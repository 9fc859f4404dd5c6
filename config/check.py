"""Bind every node of a config to the signature of what it names and report all faults at once."""

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

from config.load import Config, short
from config.trial import trial_fault
from config.types import (
    ConfigError,
    Parameter,
    arms,
    closest,
    describe,
    fits,
    item_kinds,
    offers_of,
    parameters,
    resolve_type,
)
from config.values import combination_faults, value_faults

RESERVED = ("entry", "description")
ENTRY_OFFERS = ("context",)


class _Faults:
    """Collects ``(key path, message)``."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, key_path: str, message: str) -> None:
        self.rows.append((key_path, message))

    def without(self, values: dict[str, Any], key_path: str) -> dict[str, Any]:
        """Return the mapping at a key path without the keys that have faults, in the mappings below it too."""
        kept = {}
        for key, value in values.items():
            inner = _join(key_path, key)
            if isinstance(value, dict) and not self._at(inner) and not self._at(f"{inner}.type"):
                kept[key] = self.without(value, inner)
            elif not self._at(inner) and not any(path.startswith(inner + ".") for path, _ in self.rows):
                kept[key] = value
        return kept

    def _at(self, key_path: str) -> bool:
        return any(path == key_path for path, _ in self.rows)


def check(config: Config) -> dict[str, Any]:
    """Check a config and return it with every default filled in.

    Args:
        config: a loaded config; its ``entry`` names the function that the rest of the mapping calls.

    Returns:
        The complete mapping, defaults included: what ``--print-config`` shows and a run folder keeps.

    Raises:
        ConfigError: one message with every fault: file, key path, found, expected, nearest valid name.
    """
    faults = _Faults()
    values = config.values
    completed: dict[str, Any] = {key: values[key] for key in RESERVED if key in values}
    if not isinstance(values.get("description"), str):
        faults.add("description", "missing: one line that says what this config does")
    if "entry" not in values:
        faults.add("entry", "missing: the dotted path of the function to call, such as main.train")
    else:
        target = _target(values["entry"], "entry", faults)
        if target is not None:
            arguments = {key: value for key, value in values.items() if key not in RESERVED}
            completed |= _check_call(target, arguments, "", ENTRY_OFFERS, faults)
    if faults.rows:
        raise ConfigError(_message(config, faults))
    return completed


def _message(config: Config, faults: _Faults) -> str:
    count = len(faults.rows)
    lines = [f"{short(config.path)}: {count} fault{'s' if count > 1 else ''}"]
    for key_path, message in faults.rows:
        origin = config.origin(key_path)
        where = "" if origin == short(config.path) else f" [{origin}]"
        lines.append(f"  {key_path}{where}: {message}")
    return "\n".join(lines)


def _target(dotted: Any, key_path: str, faults: _Faults) -> Callable[..., Any] | None:
    try:
        return resolve_type(dotted)
    except ConfigError as error:
        faults.add(key_path, str(error))
        return None


def _join(key_path: str, key: str) -> str:
    return f"{key_path}.{key}" if key_path else key


def _check_call(
    target: Callable[..., Any], arguments: dict[str, Any], key_path: str, offered: tuple[str, ...], faults: _Faults
) -> dict[str, Any]:
    """Check the keywords of one call; return them with the defaults of those not given."""
    declared = parameters(target)
    settable = [name for name in declared if name not in offered]
    name = f"{target.__module__}.{target.__qualname__}"
    completed: dict[str, Any] = {}
    for key, value in arguments.items():
        inner = _join(key_path, key)
        if key in offered:
            faults.add(inner, f"is given by the program when {name} is built; remove it")
        elif key not in declared:
            faults.add(inner, f"unknown key{closest(key, settable)} ({name} takes {', '.join(settable) or 'nothing'})")
        else:
            completed[key] = _check_value(declared[key].annotation, value, inner, faults)
    for key in settable:
        if key in arguments:
            continue
        if declared[key].required:
            faults.add(_join(key_path, key), f"missing: {name} needs {describe(declared[key].annotation)}")
        else:
            completed[key] = _plain_default(declared[key], _join(key_path, key))
    completed = {key: value for key, value in completed.items() if value is not _ABSENT}
    _check_combinations(target, completed, key_path, offered, faults)
    return completed


def _check_combinations(
    target: Callable[..., Any], values: dict[str, Any], key_path: str, offered: tuple[str, ...], faults: _Faults
) -> None:
    """Add what a class has against its values together, as far as they have no fault alone."""
    sound = faults.without(values, key_path)
    refused = combination_faults(target, sound)
    for key, message in refused:
        faults.add(_join(key_path, key), message)
    message = None if refused else trial_fault(target, sound, offered)
    if message is not None:
        faults.add(key_path, message)


_ABSENT = object()


def _plain_default(parameter: Parameter, key_path: str) -> Any:
    """Return a default as YAML would write it, or ``_ABSENT`` for one that YAML cannot."""
    default = parameter.default
    if dataclasses.is_dataclass(default) and not inspect.isclass(default):
        return _check_call(type(default), {}, key_path, (), _Faults())
    if isinstance(default, Path):
        return str(default)
    try:
        return json.loads(json.dumps(default))
    except TypeError:
        return _ABSENT


def _check_value(annotation: Any, value: Any, key_path: str, faults: _Faults) -> Any:
    """Check one value against its annotation; return it with defaults filled in."""
    members = arms(annotation)
    if value is None and (type(None) in members or annotation is Any):
        return None
    if isinstance(value, dict):
        return _check_mapping(members, value, key_path, faults)
    if isinstance(value, list):
        kinds = [kinds for member in members if (kinds := item_kinds(member, len(value))) is not None]
        if kinds and any(map(_may_hold_nodes, kinds[0])):
            pairs = enumerate(zip(kinds[0], value, strict=True))
            return [_check_value(kind, item, f"{key_path}.{i}", faults) for i, (kind, item) in pairs]
    faults.rows += value_faults(annotation, value, key_path)
    return value


def _may_hold_nodes(annotation: Any) -> bool:
    """Whether items of this annotation can be calls rather than plain values."""
    return any(
        offers_of(member) is not None
        or dataclasses.is_dataclass(member)
        or (inspect.isclass(member) and member.__module__ not in ("builtins", "pathlib"))
        for member in arms(annotation)
    )


def _check_mapping(members: list[Any], value: dict[str, Any], key_path: str, faults: _Faults) -> Any:
    """Check a mapping: a node, a dataclass group, or a plain ``dict[str, X]``."""
    if "type" in value:
        return _check_node(members, value, key_path, faults)
    for member in members:
        if dataclasses.is_dataclass(member):
            return _check_call(member, value, key_path, (), faults)
    for member in members:
        if get_origin(member) is dict:
            inner = get_args(member)[1]
            return {key: _check_value(inner, item, _join(key_path, key), faults) for key, item in value.items()}
        if member is Any or member is dict:
            return value
    expected = " or ".join(describe(member) for member in members)
    hint = "" if not any(offers_of(member) for member in members) else " (add 'type: ...')"
    faults.add(key_path, f"found a mapping with the keys {', '.join(value) or 'none'}, expected {expected}{hint}")
    return value


def _check_node(members: list[Any], value: dict[str, Any], key_path: str, faults: _Faults) -> Any:
    target = _target(value["type"], _join(key_path, "type"), faults)
    if target is None:
        return value
    offered: tuple[str, ...] = ()
    products = []
    for member in members:
        factory = offers_of(member)
        if factory:
            offered += factory[1].names
            products += list(get_args(factory[0])[-1:])
        else:
            products.append(member)
    if not fits(target, products):
        expected = " or ".join(describe(product) for product in products)
        faults.add(_join(key_path, "type"), f"found {value['type']}, expected something that makes {expected}")
    arguments = {key: item for key, item in value.items() if key != "type"}
    return {"type": value["type"]} | _check_call(target, arguments, key_path, offered, faults)
