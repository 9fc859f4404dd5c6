"""Plain values against annotations, and the combinations of values that a class refuses.

A limit of one value stands in its annotation: a type of config/limits.py, ``Annotated[int, Field(ge=1)]``, pydantic's
``PositiveInt``, or a rule of our own as ``AfterValidator``; of a list of nodes only that it is not empty,
``Field(min_length=1)``. Limits of several values together stand in a static method ``validate`` of the class::

    @staticmethod
    def validate(min_objects: int, max_objects: int) -> Iterator[Problem]:
        if min_objects > max_objects:
            yield "min_objects", f"found {min_objects}, expected at most max_objects, {max_objects}"

Its arguments are keywords of the constructor. :func:`config.check` calls it with what the YAML says (a nested node is a
mapping, defaults included; what has an error of its own is left out) before anything is built; :func:`check_values`
calls it with the attributes of a dataclass.

A class may have a second static method, ``validate_with_siblings``, about what stands beside its node. Its arguments
are keywords of the constructor and of the node's owner; one with a default may be missing in the YAML or have an error
of its own::

    @staticmethod
    def validate_with_siblings(data: Node, trainer: Node | None = None) -> Iterator[Problem]:
        if data.get("batch_size") == 1:
            yield "data.batch_size", "found 1, expected at least 2"
"""

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from config.limits import MOST, order_errors
from config.load import resolve_path
from config.resolve import closest, shortened
from config.signatures import ConfigError, Problem, arms, describe, kind_of, parameters, single_marks

TO_TEXT = "; put it in quotes to make it text"  # at the end of an error, where the command line's way to do so is added
FLAG_WORDS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}  # of YAML 1.1
_RULES = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


class RefusedValues(ConfigError, ValueError):
    """Values that a class refuses: ``errors`` are keyword and message of each."""

    def __init__(self, name: str, errors: list[Problem]) -> None:
        super().__init__(f"{name}: " + "; ".join(f"{key}: {message}" for key, message in errors))
        self.errors = errors


def value_errors(annotation: Any, value: Any, key_path: str, strict: bool = True) -> Iterator[Problem]:
    """Yield key path and message of what does not fit in a value that holds no nodes; items have their own paths.

    With ``strict`` the value is as YAML gives it, checked as strictly as JSON allows (no text to number, no number to
    flag), else it is a Python value.
    """
    if annotation is Any:
        return
    if kind_of(annotation).deferred:
        yield key_path, f"found {shortened(value)}, expected {describe(annotation)}"
        return
    inner = [error for kind, item, path in _items(annotation, value, key_path)
             for error in value_errors(kind, item, path, strict)]  # fmt: skip
    if inner:
        yield from inner
        return
    expected = _expected(annotation, value, strict)
    if expected is not None:
        found = "null" if value is None else f"{shortened(value)} ({type(value).__name__})"
        meant = _meant(annotation, value) if expected.startswith(describe(annotation)) else ""  # a rule says it itself
        yield key_path, f"found {found}, expected {expected}{meant}"
    elif kind_of(annotation).is_path(value):
        if not str(value).strip():
            yield key_path, f"found {shortened(value)}, expected the path of a file or folder"
            return
        try:
            resolve_path(value)
        except ConfigError as unset:
            yield key_path, str(unset)


def _items(annotation: Any, value: Any, key_path: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield annotation, value and key path of every item, where only one alternative takes items."""
    kind = kind_of(annotation)
    if isinstance(value, list | tuple) and len(kinds := kind.items(len(value))) == 1:
        for i, (of_item, item) in enumerate(zip(*kinds.values(), value, strict=True)):
            yield of_item, item, f"{key_path}.{i}"
    if isinstance(value, dict) and kind.values is not None:
        yield from ((kind.values, item, f"{key_path}.{key}") for key, item in value.items())


def _expected(annotation: Any, value: Any, strict: bool) -> str | None:
    """Return what is expected where a value does not fit its annotation."""
    adapter = _adapter(annotation)
    if adapter is None:  # a protocol, of which YAML holds nodes only
        return describe(annotation) if strict else None
    try:
        if strict:
            adapter.validate_json(json.dumps(value), strict=True)
        else:
            adapter.validate_python(value)
    except ValidationError as error:
        own_rule = error.errors()[0].get("ctx", {}).get("error")
        return str(own_rule) if isinstance(own_rule, ValueError) else describe(annotation)
    if isinstance(value, int | float) and abs(value) > MOST and not _is_limited(annotation):
        return f"{describe(annotation)}, at most {MOST:,.0f}"
    return None


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    rules = None if dataclasses.is_dataclass(annotation) else _RULES
    try:
        return TypeAdapter(annotation, config=rules)
    except (PydanticSchemaGenerationError, SchemaError):
        return None


@cache
def _is_limited(annotation: Any) -> bool:
    """Return whether the numbers of an annotation have a largest one of their own."""
    kinds = [kind for kind in arms(annotation) if get_origin(kind) is Annotated]
    marks = [mark for kind in kinds for mark in single_marks(get_args(kind)[1:])]
    return any(getattr(mark, name, None) is not None for mark in marks for name in ("le", "lt"))


def _meant(annotation: Any, value: Any) -> str:
    """Name what a text resembles, and how a number, flag or null becomes text where text is expected."""
    kind = kind_of(annotation)
    if value is None or isinstance(value, bool | int | float):
        return TO_TEXT if {str, Path} & {*kind.members} else ""
    if not isinstance(value, str):
        return ""
    if bool in kind.members and value.lower() in FLAG_WORDS:
        return f"; write {FLAG_WORDS[value.lower()]}"
    return closest(value, [choice for choice in kind.choices if isinstance(choice, str)])


def combination_errors(target: Callable[..., Any], values: dict[str, Any]) -> list[Problem]:
    """Return the combinations of its keywords that a class refuses by its static method ``validate``.

    ``values`` are those without error; ``validate`` is not called if a keyword that it takes is not among them. For
    ``torch.optim``, whose classes have no such method, config/limits.py knows them.
    """
    if f"{target.__module__}.".startswith("torch.optim."):
        return list(order_errors(values))
    return _asked(target, "validate", {name: values[name] for name in parameters(target) if name in values})


def validate_with_siblings(target: Callable[..., Any], values: dict[str, Any], given: dict[str, Any]) -> list[Problem]:
    """Return the combinations of a node's ``values`` with its owner's keywords ``given`` that its class refuses."""
    return _asked(target, "validate_with_siblings", values | given)


def _asked(target: Callable[..., Any], name: str, values: dict[str, Any]) -> list[Problem]:
    """Return the errors that a static method of a class yields; nothing where a value that it looks at is missing."""
    rule = getattr(target, name, None)
    if not inspect.isfunction(rule):
        return []
    wanted = inspect.signature(rule).parameters
    if any(key not in values for key, parameter in wanted.items() if parameter.default is parameter.empty):
        return []
    return list(rule(**{key: values[key] for key in wanted if key in values}))


def check_values(instance: Any) -> None:
    """Raise RefusedValues for a dataclass whose values its annotations or its ``validate`` refuse."""
    values = {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance)}
    rows = [
        error
        for name, parameter in parameters(type(instance)).items()
        for error in value_errors(parameter.annotation, values[name], name, strict=False)
    ]
    faulty = {path.split(".")[0] for path, _ in rows}
    rows += combination_errors(type(instance), {name: value for name, value in values.items() if name not in faulty})
    if rows:
        raise RefusedValues(type(instance).__name__, rows)
