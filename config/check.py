"""Bind every node of a config to the signature of what it names and report all errors at once."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from config.build import Factory
from config.errors import Errors
from config.limits import unusable
from config.load import Config, join
from config.renamed import renamed_keys
from config.resolve import ENTRY_MODULES, Suits, resolve_type, shortened, translated
from config.signatures import ConfigError, Kind, Parameter, arms, describe, fits, kind_of, parameters, serves
from config.validate import combination_errors, validate_with_siblings, value_errors

RESERVED = ("entry", "description")
ENTRY_DEFERRED = ("context",)
NETWORK_MODULES = ("models", "gan")
SHOWN = 5  # errors of a file from outside
Offered = tuple[str, ...] | None
"""Keywords that the program gives; None where they are not known."""


def check(config: Config) -> dict[str, Any]:
    """Check a config and return it with every default filled in, for ``--print-config`` and run folders.

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
        errors.look_elsewhere(completed)
        raise ConfigError(errors.message(config))
    return completed


def with_defaults(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a complete config that was written earlier with the defaults of keys that came later.

    Values that are no longer a valid config are returned as they are.
    """
    try:
        return check(Config(path, values))
    except ConfigError:
        return values


def _entry(dotted: Any, errors: Errors) -> Callable[..., Any] | None:
    """Return the function that an entry names, if it does something and returns nothing; None for all else."""
    target = _target(dotted, "entry", errors, _is_entry)
    if target is None or _is_entry(target):
        return target
    errors.add("entry", f"found {dotted}, expected a function of {', '.join(ENTRY_MODULES)} that returns nothing")
    return None


def _is_entry(target: Callable[..., Any]) -> bool:
    returns_nothing = inspect.isfunction(target) and target.__annotations__.get("return", 0) is None
    return returns_nothing and target.__module__.split(".")[0] in ENTRY_MODULES


def _target(dotted: Any, key_path: str, errors: Errors, suits: Suits | None = None) -> Callable[..., Any] | None:
    try:
        return resolve_type(dotted, suits)
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
            if now is None:
                errors.add_unknown(inner, value, settable, name)
            else:
                errors.add(inner, f"is now '{now}': write that")
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
    """Add what a class has against its values together, as far as none of them has an error alone."""
    from config.try_build import trial_error  # it needs torch, which --list does without

    refused = combination_errors(target, errors.without(values, key_path, placeholders=True))
    message = None if refused else trial_error(target, errors.without(values, key_path), offered or ())
    for key, problem in refused:
        errors.add(join(key_path, key), problem)
    if message is not None:
        errors.add(key_path, message)


def _check_given(declared: dict[str, Parameter], values: dict[str, Any], key_path: str, errors: Errors) -> None:
    """Add what nodes have against those that stand beside them, whether their owner will give them those or not."""
    beside = errors.without(values, key_path, placeholders=True)
    for key, node in beside.items():
        if not isinstance(node, dict) or "type" not in node:
            continue
        target = resolve_type(node["type"])
        own = parameters(target).keys() - set(kind_of(declared[key].annotation).offered)
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
    if value is None and (annotation is Any or type(None) in arms(annotation)):
        return None
    if isinstance(value, dict):
        return _check_mapping(annotation, value, key_path, errors)
    if isinstance(value, list):
        kinds = next(iter(kind_of(annotation).items(len(value)).values()), [])
        if any(kind_of(of_item).holds_nodes for of_item in kinds):
            pairs = enumerate(zip(kinds, value, strict=True))
            return [_check_value(of_item, item, f"{key_path}.{i}", errors) for i, (of_item, item) in pairs]
    errors.rows += value_errors(annotation, value, key_path)
    return value


def _check_mapping(annotation: Any, value: dict[str, Any], key_path: str, errors: Errors) -> Any:
    """Check a mapping: a node, a dataclass group, or a plain ``dict[str, X]``."""
    kind = kind_of(annotation)
    if "type" in value and kind.holds_nodes:
        return _check_node(kind, value, key_path, errors)
    if kind.group is not None:
        return _check_call(kind.group, value, key_path, (), errors)
    if kind.values is not None:
        return {key: _check_value(kind.values, item, join(key_path, key), errors) for key, item in value.items()}
    if Any in kind.members or dict in kind.members:
        return value
    hint = " (add 'type: ...')" if kind.deferred else ""
    found = f"found a mapping with the keys {', '.join(value) or 'none'}"
    errors.add(key_path, f"{found}, expected {describe(annotation)}{hint}")
    _check_unbound(value, key_path, errors)
    return value


def _check_node(kind: Kind | None, value: dict[str, Any], key_path: str, errors: Errors) -> Any:
    """Check a node where its owner expects ``kind``; None where the owner is not known."""
    suits = None if kind is None else partial(serves, products=kind.products, offered=kind.offered)
    target = _target(value["type"], join(key_path, "type"), errors, suits)
    arguments = {key: item for key, item in value.items() if key != "type"}
    if target is None:
        _check_unbound(arguments, key_path, errors)
        return value
    if kind is not None and not suits(target):
        expected = " or ".join(describe(product) for product in kind.products if product is not type(None))
        given = f" and takes {' or '.join(kind.offered)}" if kind.offered and fits(target, kind.products) else ""
        errors.add(join(key_path, "type"), f"found {value['type']}, expected what makes {expected}{given}")
        _check_unbound(arguments, key_path, errors)
        return value
    if reason := unusable(target.__module__, target.__name__):
        errors.add(join(key_path, "type"), f"found {value['type']}, which {reason}")
        _check_unbound(arguments, key_path, errors)
        return value
    offered = None if kind is None else kind.offered
    return {"type": value["type"]} | _check_call(target, arguments, key_path, offered, errors)


def check_outside(value: Any, annotation: Any, key_path: str) -> Any:
    """Check what a file from outside describes (a weights card, another run's config); return it with defaults.

    Args:
        value: content of the file.
        annotation: what it has to be, such as ``nn.Module``.
        key_path: where in the file, for messages.

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
        for path_of_key, path in Factory.of(checked, key_path).paths():
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
