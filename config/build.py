"""Make the objects that a checked config names."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from common.errors import UserError
from config.load import resolve_path
from config.resolve import resolve_type
from config.signatures import ConfigError, bare_arms, deferred_of, is_path, item_kinds, parameters


class Factory:
    """A node to be built later, when its owner knows the values that YAML cannot (see :class:`config.Deferred`).

    Calling it with the offered keywords builds it; offers that the target does not declare are left out.

    Args:
        target: class or function that is called.
        arguments: plain values and nodes by keyword.
        key_path: where the node stands in the config, for messages.
    """

    def __init__(self, target: Callable[..., Any], arguments: dict[str, Any], key_path: str) -> None:
        self.target = target
        self.arguments = arguments
        self.key_path = key_path
        self.declared = set(parameters(target))

    def __call__(self, **offers: Any) -> Any:
        """Build the node; nested nodes are built anew at each call."""
        taken = {name: value for name, value in offers.items() if name in self.declared}
        return build_call(self.target, self.arguments, self.key_path, taken)

    def takes(self, name: str) -> bool:
        """Whether the target declares this keyword.

        Args:
            name: of the keyword.
        """
        return name in self.declared

    def paths(self) -> Iterator[tuple[str, Path]]:
        """Yield the key path and the resolved value of every path that this node and the nodes below it name."""
        for key, value in self.arguments.items():
            path_of_key = f"{self.key_path}.{key}"
            if isinstance(value, dict) and "type" in value:
                inner = {name: item for name, item in value.items() if name != "type"}
                yield from Factory(resolve_type(value["type"]), inner, path_of_key).paths()
            elif is_path(parameters(self.target)[key].annotation, value):
                yield path_of_key, resolve_path(value)

    def __repr__(self) -> str:
        return f"Factory({self.target.__module__}.{self.target.__qualname__}, {self.arguments})"


def call_entry(values: dict[str, Any], **extra: Any) -> Any:
    """Call the ``entry`` of a checked config.

    Args:
        values: what :func:`config.check` returned.
        extra: keywords that the program adds where the entry declares them.

    Returns:
        Whatever the entry returns.
    """
    target = resolve_type(values["entry"])
    declared = parameters(target)
    arguments = {key: value for key, value in values.items() if key not in ("entry", "description")}
    taken = {key: value for key, value in extra.items() if key in declared}
    return build_call(target, arguments, "", taken, own_errors=True)


def takes_context(target: Callable[..., Any]) -> bool:
    """Whether an entry declares ``context``: then it knows dry runs.

    Args:
        target: the function that ``entry`` names.
    """
    return "context" in parameters(target)


def build(node: dict[str, Any], key_path: str = "", **injected: Any) -> Any:
    """Build one node ``{type: dotted.path, ...}``.

    Args:
        node: ``type`` and the keywords of that constructor, as :func:`config.check` returned them.
        key_path: where the node stands in the config, for messages.
        **injected: finished objects by keyword.

    Returns:
        What the constructor returned.

    Raises:
        ConfigError: the constructor refused the values; names ``key_path``.
    """
    arguments = {key: value for key, value in node.items() if key != "type"}
    return build_call(resolve_type(node["type"]), arguments, key_path, injected)


def build_call(
    target: Callable[..., Any],
    arguments: dict[str, Any],
    key_path: str,
    injected: dict[str, Any] | None = None,
    own_errors: bool = False,
) -> Any:
    """Build the arguments of one call, then call.

    Args:
        target: class or function.
        arguments: plain values and nodes by keyword.
        key_path: where the call stands in the config, for messages.
        injected: finished objects by keyword.
        own_errors: leave exceptions of the call itself as they are (entries speak for themselves).

    Returns:
        What the call returned.

    Raises:
        ConfigError: the call refused its values with a ValueError; names ``key_path``. Not with ``own_errors``.
    """
    declared = parameters(target)
    values = {
        key: _build_value(declared[key].annotation, value, f"{key_path}.{key}" if key_path else key)
        for key, value in arguments.items()
    }
    values |= injected or {}
    if own_errors:
        return target(**values)
    try:
        return target(**values)
    except UserError:
        raise
    except ValueError as error:
        raise ConfigError(f"{key_path or target.__qualname__}: {error}") from error


def _build_value(annotation: Any, value: Any, key_path: str) -> Any:
    members = bare_arms(annotation)
    if isinstance(value, dict):
        return _build_mapping(members, value, key_path)
    if isinstance(value, list):
        for member in members:
            kinds = item_kinds(member, len(value))
            if kinds is not None:
                pairs = enumerate(zip(kinds, value, strict=True))
                made = [_build_value(kind, item, f"{key_path}.{i}") for i, (kind, item) in pairs]
                return tuple(made) if get_origin(member) is tuple else made
        return value
    if is_path(annotation, value):
        return resolve_path(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in members and int not in members:
        return float(value)
    return value


def _build_mapping(members: list[Any], value: dict[str, Any], key_path: str) -> Any:
    if "type" in value:
        arguments = {key: item for key, item in value.items() if key != "type"}
        target = resolve_type(value["type"])
        if any(deferred_of(member) for member in members):
            return Factory(target, arguments, key_path)
        return build_call(target, arguments, key_path)
    for member in members:
        if inspect.isclass(member) and dataclasses.is_dataclass(member):
            return build_call(member, value, key_path)
        if get_origin(member) is dict:
            inner = get_args(member)[1]
            return {key: _build_value(inner, item, f"{key_path}.{key}") for key, item in value.items()}
    return value
