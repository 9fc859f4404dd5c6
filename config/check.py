"""Bind every node of a config to the signature of what it names and report all faults at once."""

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from config.load import Config, resolve_path, short
from config.types import (
    ConfigError,
    Parameter,
    arms,
    closest,
    describe,
    offers_of,
    parameters,
    resolve_type,
)

RESERVED = ("entry", "description")
ENTRY_OFFERS = ("context",)


class _Faults:
    """Collects ``(key path, message)``."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, key_path: str, message: str) -> None:
        self.rows.append((key_path, message))


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
    return {key: value for key, value in completed.items() if value is not _ABSENT}


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
        items = [item for member in members if (item := _item_annotation(member)) is not None]
        if items and _may_hold_nodes(items[0]):
            return [_check_value(items[0], item, f"{key_path}.{i}", faults) for i, item in enumerate(value)]
    _check_leaf(annotation, value, key_path, faults)
    return value


def _item_annotation(annotation: Any) -> Any:
    """Return X of ``list[X]`` and ``tuple[X, ...]``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list or (origin is tuple and len(inner) == 2 and inner[1] is Ellipsis):
        return inner[0]
    return None


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
            before = len(faults.rows)
            completed = _check_call(member, value, key_path, (), faults)
            if len(faults.rows) == before:
                _try_group(member, completed, key_path, faults)
            return completed
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
    if not _fits(target, products):
        expected = " or ".join(describe(product) for product in products)
        faults.add(_join(key_path, "type"), f"found {value['type']}, expected something that makes {expected}")
    arguments = {key: item for key, item in value.items() if key != "type"}
    return {"type": value["type"]} | _check_call(target, arguments, key_path, offered, faults)


def _fits(target: Callable[..., Any], products: list[Any]) -> bool:
    """Whether what ``target`` makes can stand for one of ``products``; true where that cannot be known."""
    made = target if inspect.isclass(target) else inspect.signature(target).return_annotation
    plain = [product for product in products if product is not type(None)]
    known = [p for p in plain if p is not Any and inspect.isclass(p) and not get_args(p)]
    known = [p for p in known if not getattr(p, "_is_protocol", False)]
    if len(known) != len(plain) or not inspect.isclass(made):
        return True
    return any(issubclass(made, product) for product in known)


def _try_group(group: type, values: dict[str, Any], key_path: str, faults: _Faults) -> None:
    """Make a dataclass of plain values once, so that its own checks of combinations speak before anything is loaded."""
    from config.build import build_call  # build imports this module's neighbours, not this one

    if _holds_node(values):
        return
    try:
        build_call(group, values, key_path)
    except (ValueError, ConfigError) as error:
        faults.add(key_path, str(error).removeprefix(f"{key_path}: "))


def _holds_node(value: Any) -> bool:
    """Whether a call stands anywhere in a value; it may cost much to build."""
    if isinstance(value, dict):
        return "type" in value or any(_holds_node(item) for item in value.values())
    return isinstance(value, list) and any(_holds_node(item) for item in value)


def _adapter(annotation: Any) -> TypeAdapter | None:
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticSchemaGenerationError:
        return None


def _check_leaf(annotation: Any, value: Any, key_path: str, faults: _Faults) -> None:
    """Check a plain value with pydantic, as strictly as JSON allows (no text to number, no number to flag)."""
    if annotation is Any:
        return
    if offers_of(annotation) or any(offers_of(member) for member in arms(annotation)):
        faults.add(key_path, f"found {value!r}, expected {describe(annotation)}")
        return
    adapter = _adapter(annotation)
    if adapter is None:
        return
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        detail = "" if len(arms(annotation)) > 1 or not first["loc"] else f" (at {'.'.join(map(str, first['loc']))})"
        choices = _choices(annotation)
        expected = " or ".join(map(repr, choices)) if choices else describe(annotation)
        if first["type"].startswith(("greater", "less")):
            expected += f", {first['msg'].removeprefix('Input should be ')}"
        near = closest(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
        faults.add(key_path, f"found {value!r} ({type(value).__name__}), expected {expected}{detail}{near}")
        return
    if Path in arms(annotation) and isinstance(value, str):
        try:
            resolve_path(value)
        except ConfigError as error:
            faults.add(key_path, str(error))


def _choices(annotation: Any) -> list[Any]:
    """Return the values of a ``Literal``, through ``Annotated`` and unions."""
    from typing import Literal

    found: list[Any] = []
    for member in arms(annotation):
        if get_origin(member) is Annotated:
            found += _choices(get_args(member)[0])
        elif get_origin(member) is Literal:
            found += list(get_args(member))
        elif member is type(None):
            found.append(None)
        else:
            return []
    return found
