"""Make the objects that a checked config names."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_origin

from common.errors import UserError
from config.load import join, resolve_path
from config.resolve import resolve_type
from config.signatures import ConfigError, kind_of, parameters, python_name


class Factory:
    """A node to be built later, when its owner knows the values that YAML cannot (see :class:`config.Deferred`).

    Calling it with the offered keywords builds it; offers that the target does not declare are left out. ``key_path``
    is where the node stands in the config, for messages.
    """

    def __init__(self, target: Callable[..., Any], arguments: dict[str, Any], key_path: str) -> None:
        self.target = target
        self.arguments = arguments
        self.key_path = key_path
        self.declared = set(parameters(target))

    @classmethod
    def of(cls, node: dict[str, Any], key_path: str) -> "Factory":
        """Return the factory of a node ``{type: dotted.path, ...}`` as :func:`config.check` returned it."""
        arguments = {key: value for key, value in node.items() if key != "type"}
        return cls(resolve_type(node["type"]), arguments, key_path)

    def __call__(self, **offers: Any) -> Any:
        """Build the node; nested nodes are built anew at each call."""
        taken = {name: value for name, value in offers.items() if name in self.declared}
        return build_call(self.target, self.arguments, self.key_path, taken)

    def node(self, **given: Any) -> dict[str, Any]:
        """Return the node as plain values, with the keywords that its owner gives when it builds it."""
        taken = {name: value for name, value in given.items() if name in self.declared}
        return {"type": f"{self.target.__module__}.{self.target.__qualname__}", **self.arguments, **taken}

    def takes(self, name: str) -> bool:
        """Return whether the target declares this keyword."""
        return name in self.declared

    def paths(self) -> Iterator[tuple[str, Path]]:
        """Yield the key path and the resolved value of every path that this node and the nodes below it name."""
        for key, value in self.arguments.items():
            path_of_key = f"{self.key_path}.{key}"
            if isinstance(value, dict) and "type" in value:
                yield from Factory.of(value, path_of_key).paths()
            elif kind_of(parameters(self.target)[key].annotation).is_path(value):
                yield path_of_key, resolve_path(value)

    def __repr__(self) -> str:
        return f"Factory({self.target.__module__}.{self.target.__qualname__}, {self.arguments})"


def call_entry(values: dict[str, Any], **extra: Any) -> Any:
    """Call the ``entry`` of a checked config, with the program's keywords ``extra`` that it declares."""
    target = resolve_type(values["entry"])
    declared = parameters(target)
    arguments = {key: value for key, value in values.items() if key not in ("entry", "description")}
    taken = {key: value for key, value in extra.items() if key in declared}
    return build_call(target, arguments, "", taken, own_errors=True)


def takes_context(target: Callable[..., Any]) -> bool:
    """Return whether an entry declares ``context``: then it knows dry runs."""
    return "context" in parameters(target)


def build(node: dict[str, Any], key_path: str = "", **injected: Any) -> Any:
    """Build one checked node ``{type: dotted.path, ...}``, with finished objects by keyword.

    A constructor that refuses its values ends in a ConfigError that names ``key_path``.
    """
    factory = Factory.of(node, key_path)
    return build_call(factory.target, factory.arguments, key_path, injected)


def build_call(
    target: Callable[..., Any],
    arguments: dict[str, Any],
    key_path: str,
    injected: dict[str, Any] | None = None,
    own_errors: bool = False,
) -> Any:
    """Build the arguments of one call, plain values and nodes by keyword, then call it with finished objects besides.

    A ValueError of the call becomes a ConfigError that names ``key_path``; with ``own_errors`` (entries, whose messages
    need no such help) it stays.
    """
    declared = parameters(target)
    values = {
        key: _build_value(declared[key].annotation, value, join(key_path, key)) for key, value in arguments.items()
    }
    values = {python_name(key): value for key, value in (values | (injected or {})).items()}
    if own_errors:
        return target(**values)
    try:
        return target(**values)
    except UserError:
        raise
    except ValueError as error:
        raise ConfigError(f"{key_path or target.__qualname__}: {error}") from error


def _build_value(annotation: Any, value: Any, key_path: str) -> Any:
    kind = kind_of(annotation)
    if isinstance(value, dict) and "type" in value:
        factory = Factory.of(value, key_path)
        return factory if kind.deferred else factory()
    if isinstance(value, dict) and kind.group is not None:
        return build_call(kind.group, value, key_path)
    if isinstance(value, dict) and kind.values is not None:
        return {key: _build_value(kind.values, item, f"{key_path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        for member, kinds in kind.items(len(value)).items():
            pairs = enumerate(zip(kinds, value, strict=True))
            made = [_build_value(of_item, item, f"{key_path}.{i}") for i, (of_item, item) in pairs]
            return tuple(made) if get_origin(member) is tuple else made
    if kind.is_path(value):
        return resolve_path(value)
    if isinstance(value, int) and not isinstance(value, bool) and float in kind.members and int not in kind.members:
        return float(value)
    return value
