"""Bind every node of a config to the signature of what it names and report all errors at once."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from config.build import Factory
from config.errors import Errors, join
from config.load import Config
from config.renamed import renamed_keys
from config.resolve import ENTRY_MODULES, closest, is_entry, resolve_type, shortened, translated
from config.signatures import (
    ConfigError,
    Parameter,
    arms,
    bare_arms,
    deferred_of,
    describe,
    fits,
    item_kinds,
    offered_names,
    parameters,
    serves,
)
from config.validate import combination_errors, validate_with_siblings, value_errors

RESERVED = ("entry", "description")
ENTRY_DEFERRED = ("context",)
NETWORK_MODULES = ("models", "gan")
SHOWN = 5  # errors of a file from outside
Offered = tuple[str, ...] | None
"""Keywords that the program gives; None where that is not known."""


def check(config: Config) -> dict[str, Any]:
    """Check a config and return it with every default filled in.

    Args:
        config: a loaded config; its ``entry`` names the function that the rest of the mapping calls.

    Returns:
        The complete mapping, defaults included: what ``--print-config`` shows and a run folder keeps.

    Raises:
        ConfigError: one message with every error: file, key path, found, expected, nearest valid name.
    """
    errors = Errors()
    values = config.values
    completed: dict[str, Any] = {key: values[key] for key in RESERVED if key in values}
    if not isinstance(values.get("description"), str):
        found = f"found {shortened(values['description'])}, expected" if "description" in values else "missing:"
        errors.add("description", f"{found} one line of text that says what this config does")
    target = None
    if "entry" not in values:
        errors.add("entry", "missing: the dotted path of the function to call, such as main.train")
    else:
        target = _entry(values["entry"], errors)
    arguments = {key: value for key, value in values.items() if key not in RESERVED}
    if target is None:
        _check_unbound(arguments, "", errors)
    else:
        completed |= _check_call(target, arguments, "", ENTRY_DEFERRED, errors)
    if errors.rows:
        raise ConfigError(errors.message(config))
    return completed


def with_defaults(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a complete config that was written earlier with the defaults of keys that came later.

    Args:
        values: as :func:`check` returned them, perhaps with an older version of the project.
        path: where they were read.

    Returns:
        The complete mapping of today; the values as they are where they no longer are a valid config.
    """
    try:
        return check(Config(path, values))
    except ConfigError:
        return values


def _entry(dotted: Any, errors: Errors) -> Callable[..., Any] | None:
    target = _target(dotted, "entry", errors)
    if target is None or is_entry(target):
        return target
    errors.add("entry", f"found {dotted}, expected a function of {', '.join(ENTRY_MODULES)} that returns nothing")
    return None


def _target(dotted: Any, key_path: str, errors: Errors) -> Callable[..., Any] | None:
    try:
        return resolve_type(dotted)
    except ConfigError as error:
        errors.add(key_path, str(error))
        return None


def _check_call(
    target: Callable[..., Any], arguments: dict[str, Any], key_path: str, offered: Offered, errors: Errors
) -> dict[str, Any]:
    """Check the keywords of one call; return them with the defaults of those not given."""
    declared = parameters(target)
    settable = [name for name in declared if name not in (offered or ())]
    name = f"{target.__module__}.{target.__qualname__}"
    completed: dict[str, Any] = {}
    for key, value in arguments.items():
        inner = join(key_path, key)
        if key in (offered or ()):
            errors.add(inner, f"is given by the program when {name} is built; remove it")
        elif key not in declared:
            now = renamed_keys(target).get(key)
            takes = f"unknown key{closest(key, settable)} ({name} takes {', '.join(settable) or 'nothing'})"
            errors.add(inner, takes if now is None else f"is now '{now}': write that")
            _check_unbound(value, inner, errors)
        else:
            completed[key] = _check_value(declared[key].annotation, value, inner, errors)
    for key in settable:
        if key in arguments or key in {renamed_keys(target).get(former) for former in arguments}:
            continue
        if declared[key].required:
            if offered is None:  # perhaps the owner gives it
                continue
            errors.add(join(key_path, key), f"missing: {name} needs {describe(declared[key].annotation)}")
        else:
            completed[key] = _plain_default(declared[key], join(key_path, key))
    completed = {key: value for key, value in completed.items() if value is not _ABSENT}
    _check_combinations(target, completed, key_path, offered, errors)
    _check_given(declared, completed, key_path, errors)
    return completed


def _check_unbound(value: Any, key_path: str, errors: Errors) -> None:
    """Check the nodes in a value whose owner is not known: each against its own signature."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return
    if "type" in value:
        _check_node(None, value, key_path, errors)
        return
    for key, item in value.items():
        _check_unbound(item, join(key_path, str(key)), errors)


def _check_combinations(
    target: Callable[..., Any], values: dict[str, Any], key_path: str, offered: Offered, errors: Errors
) -> None:
    """Add what a class has against its values together, as far as they have no error alone."""
    from config.try_build import key_at_fault, trial_error  # it needs torch, which --list does without

    refused = combination_errors(target, errors.without(values, key_path, placeholders=True))
    tried = errors.without(values, key_path)
    message = None if refused else trial_error(target, tried, offered or ())
    for key, problem in refused:
        errors.add(join(key_path, key), problem)
    if message is not None:
        key = key_at_fault(target, tried, offered or ())
        errors.add(join(key_path, key) if key else key_path, message)


def _check_given(declared: dict[str, Parameter], values: dict[str, Any], key_path: str, errors: Errors) -> None:
    """Add what nodes have against those that stand beside them, whether their owner will give them those or not."""
    beside = errors.without(values, key_path, placeholders=True)
    for key, node in beside.items():
        if not isinstance(node, dict) or "type" not in node:
            continue
        target = resolve_type(node["type"])
        own = parameters(target).keys() - set(offered_names(declared[key].annotation))
        given = {name: value for name, value in beside.items() if name not in own}
        for path, message in validate_with_siblings(target, node, given):
            path_of_key = path if path.split(".")[0] in given else join(key, path)
            errors.add(join(key_path, path_of_key), message)


_ABSENT = object()


def _plain_default(parameter: Parameter, key_path: str) -> Any:
    """Return a default as YAML would write it, or ``_ABSENT`` for one that YAML cannot."""
    default = parameter.default
    if dataclasses.is_dataclass(default) and not inspect.isclass(default):
        return _check_call(type(default), {}, key_path, (), Errors())
    if isinstance(default, Path):
        return str(default)
    try:
        return json.loads(json.dumps(default))
    except TypeError:
        return _ABSENT


def _check_value(annotation: Any, value: Any, key_path: str, errors: Errors) -> Any:
    """Check one value against its annotation; return it with defaults filled in."""
    members = arms(annotation)
    if value is None and (type(None) in members or annotation is Any):
        return None
    if isinstance(value, dict):
        return _check_mapping(members, value, key_path, errors)
    if isinstance(value, list):
        lists = bare_arms(annotation)
        kinds = [kinds for member in lists if (kinds := item_kinds(member, len(value))) is not None]
        if kinds and any(map(_may_hold_nodes, kinds[0])):
            pairs = enumerate(zip(kinds[0], value, strict=True))
            return [_check_value(kind, item, f"{key_path}.{i}", errors) for i, (kind, item) in pairs]
    errors.rows += value_errors(annotation, value, key_path)
    return value


def _may_hold_nodes(annotation: Any) -> bool:
    """Whether items of this annotation can be calls rather than plain values."""
    return any(
        deferred_of(member) is not None
        or dataclasses.is_dataclass(member)
        or (inspect.isclass(member) and member.__module__ not in ("builtins", "pathlib"))
        for member in arms(annotation)
    )


def _check_mapping(members: list[Any], value: dict[str, Any], key_path: str, errors: Errors) -> Any:
    """Check a mapping: a node, a dataclass group, or a plain ``dict[str, X]``."""
    if "type" in value and any(map(_may_hold_nodes, members)):
        return _check_node(members, value, key_path, errors)
    for member in members:
        if dataclasses.is_dataclass(member):
            return _check_call(member, value, key_path, (), errors)
    for member in members:
        if get_origin(member) is dict:
            inner = get_args(member)[1]
            return {key: _check_value(inner, item, join(key_path, key), errors) for key, item in value.items()}
        if member is Any or member is dict:
            return value
    expected = " or ".join(describe(member) for member in members)
    hint = "" if not any(deferred_of(member) for member in members) else " (add 'type: ...')"
    errors.add(key_path, f"found a mapping with the keys {', '.join(value) or 'none'}, expected {expected}{hint}")
    _check_unbound(value, key_path, errors)
    return value


def _check_node(members: list[Any] | None, value: dict[str, Any], key_path: str, errors: Errors) -> Any:
    """Check a node whose owner expects one of ``members``; None where the owner is not known."""
    target = _target(value["type"], join(key_path, "type"), errors)
    arguments = {key: item for key, item in value.items() if key != "type"}
    if target is None:
        _check_unbound(arguments, key_path, errors)
        return value
    offered: Offered = None
    if members is not None:
        offered = tuple(name for member in members for name in offered_names(member))
        products = [product for member in members for product in _products(member)]
        if not serves(target, products, offered):
            expected = " or ".join(describe(product) for product in products if product is not type(None))
            given = f" and takes {' or '.join(offered)}" if offered and fits(target, products) else ""
            errors.add(join(key_path, "type"), f"found {value['type']}, expected what makes {expected}{given}")
            _check_unbound(arguments, key_path, errors)
            return value
    return {"type": value["type"]} | _check_call(target, arguments, key_path, offered, errors)


def _products(member: Any) -> list[Any]:
    """Return what a node for this alternative of an annotation should make."""
    factory = deferred_of(member)
    return [member] if factory is None else list(get_args(factory[0])[-1:])


def check_outside(value: Any, annotation: Any, key_path: str) -> Any:
    """Check what a file from outside describes: a weights card, the config of another's run.

    Args:
        value: what the file holds.
        annotation: what it has to be, such as ``nn.Module``.
        key_path: where in the file, for messages.

    Returns:
        The value, defaults included: safe to build.

    Raises:
        ConfigError: it names anything but networks of ``models`` and ``gan`` (nothing else may be called for such a
            file), or files, or its values do not fit the annotation.
    """
    from torch import nn

    value = translated(value)
    for path_of_key, dotted in _types(value, key_path):
        target = resolve_type(dotted)
        own = target.__module__.split(".")[0] in NETWORK_MODULES
        if not (own and inspect.isclass(target) and issubclass(target, nn.Module)):
            raise ConfigError(f"{path_of_key} names {dotted}, expected a network of {' or '.join(NETWORK_MODULES)}")
    errors = Errors()
    checked = _check_value(annotation, value, key_path, errors)
    if errors.rows:
        raise ConfigError("; ".join(f"{path_of_key}: {message}" for path_of_key, message in errors.rows[:SHOWN]))
    if isinstance(checked, dict) and "type" in checked:
        inner = {key: item for key, item in checked.items() if key != "type"}
        for path_of_key, path in Factory(resolve_type(checked["type"]), inner, key_path).paths():
            raise ConfigError(
                f"{path_of_key} names the file {path}; expected null, weights lie beside their description"
            )
    return checked


def _types(value: Any, key_path: str) -> Iterator[tuple[str, Any]]:
    """Yield the key path and the value of every ``type`` in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        inner = join(key_path, str(key))
        if key == "type":
            yield inner, item
        else:
            yield from _types(item, inner)
