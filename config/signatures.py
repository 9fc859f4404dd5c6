"""How the signatures of what a config names read: keywords, annotations, alternatives, limits."""

import dataclasses
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from common.errors import UserError
from config.limits import TORCH_OPTIM

LIMITS = {
    "gt": "greater than",
    "ge": "greater than or equal to",
    "lt": "less than",
    "le": "less than or equal to",
    "multiple_of": "a multiple of",
    "min_length": "of a length of at least",
    "max_length": "of a length of at most",
}


PLAIN = (bool, int, float, str, bytes, list, dict, tuple, set)
Problem = tuple[str, str]
"""Where, and what was found and expected."""


class ConfigError(UserError):
    """A config that cannot be used; the message lists every error with its key path."""


class Deferred:
    """Marks a parameter that takes an unbuilt node, and names the keywords its owner will pass when it builds it.

    ``optimizer: Annotated[Callable[..., Optimizer], Deferred("params")]`` receives a :class:`config.Factory`. Offered
    names may not be set in YAML; the factory passes on only those that its target declares.
    """

    def __init__(self, *names: str) -> None:
        self.names = names


@dataclass(frozen=True)
class Parameter:
    """One keyword of a constructor: its annotation and default (``inspect.Parameter.empty`` when required).

    Attributes:
        name: the keyword.
        annotation: its resolved type, ``Any`` where there is none.
        default: the value that it has when it is not given.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether YAML must give it."""
        return self.default is inspect.Parameter.empty


def parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the keywords of a class or function by name, with resolved annotations.

    ``*args`` and ``**kwargs`` are left out: a config gives named values only.

    Args:
        target: class or function.
    """
    return dict(_parameters(target))


@cache
def _parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
    hints = _hints(target)
    made = {}
    if inspect.isclass(target) and dataclasses.is_dataclass(target):
        fields = dataclasses.fields(target)
        made = {field.name: field.default_factory for field in fields if callable(field.default_factory)}
    found = {}
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = made[parameter.name]() if parameter.name in made else parameter.default
        annotation = hints.get(parameter.name, Any)
        if target.__module__.startswith("torch.optim."):
            annotation = TORCH_OPTIM.get(parameter.name, annotation)
        found[parameter.name] = Parameter(parameter.name, annotation, default)
    return found


@cache
def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a call by name, ``return`` among them."""
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except NameError:  # a third-party signature whose annotations name things under TYPE_CHECKING
        return {}


def arms(annotation: Any) -> list[Any]:
    """Return the alternatives of a union, or the annotation alone.

    Args:
        annotation: a type; unions in unions are opened too.
    """
    if get_origin(annotation) in (Union, types.UnionType):
        return [arm for member in get_args(annotation) for arm in arms(member)]
    return [annotation]


def deferred_of(annotation: Any) -> tuple[Any, Deferred] | None:
    """Return ``(callable annotation, Deferred)`` when ``annotation`` asks for an unbuilt node."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        for mark in marks:
            if isinstance(mark, Deferred):
                return inner, mark
    return None


def offered_names(annotation: Any) -> tuple[str, ...]:
    """Return the keywords that the owner of a parameter will give to the unbuilt node that it asks for, if it does.

    Args:
        annotation: of the parameter.

    Returns:
        Names of the offered keywords; none for a parameter that takes a value.
    """
    found = [deferred_of(member) for member in arms(annotation)]
    return tuple(name for offer in found if offer is not None for name in offer[1].names)


def bare_arms(annotation: Any) -> list[Any]:
    """Return the alternatives of a union without their limits: ``Annotated[int, Ge(1)] | None`` gives int and None.

    Parameters that take unbuilt nodes keep their :class:`Deferred`.

    Args:
        annotation: a type.
    """
    if get_origin(annotation) is Annotated and deferred_of(annotation) is None:
        return bare_arms(get_args(annotation)[0])
    members = arms(annotation)
    return members if members == [annotation] else [bare for member in members for bare in bare_arms(member)]


def is_path(annotation: Any, value: Any) -> bool:
    """Whether a value stands for a path; a text that is one of the choices beside a path does not.

    Args:
        annotation: of the parameter, such as ``Literal["imagenet"] | Path | None``.
        value: what a config gives it.
    """
    members = bare_arms(annotation)
    choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
    return isinstance(value, str | Path) and Path in members and value not in choices


def item_kinds(annotation: Any, count: int) -> list[Any] | None:
    """Return the annotation of each item of a list of ``count``, or None where ``annotation`` is no such list."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list and inner:
        return list(inner) * count
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return [inner[0]] * count
    if origin is tuple and len(inner) == count:
        return list(inner)
    return None


def fits(target: Callable[..., Any], products: list[Any]) -> bool:
    """Whether what ``target`` makes can stand for one of ``products``.

    Args:
        target: class or function; of a function the return annotation counts, and one without makes nothing known.
        products: types, protocols (which need their methods) and ``Any``, which takes all but None.
    """
    made = [target] if inspect.isclass(target) else arms(_hints(target).get("return"))
    made = [get_origin(arm) or arm for arm in made]
    if not made or not all(map(inspect.isclass, made)):
        return False
    return any(all(_stands_for(arm, product) for arm in made) for product in products)


def serves(target: Callable[..., Any], products: list[Any], offered: tuple[str, ...]) -> bool:
    """Whether a node of ``target`` can stand where one of ``products`` is wanted.

    Args:
        target: class or function.
        products: see :func:`fits`.
        offered: keywords that the owner gives; what takes none of them was not made for its place.
    """
    return fits(target, products) and (not offered or any(name in parameters(target) for name in offered))


def _stands_for(made: type, product: Any) -> bool:
    if made is type(None) or product is type(None) or issubclass(made, BaseException):
        return False
    if product is Any:
        return True
    if get_args(product) or not inspect.isclass(product) or product in PLAIN:
        return False  # YAML writes such a value itself
    if getattr(product, "_is_protocol", False):  # its attributes are set by __init__, where they cannot be seen
        methods = [name for name, value in vars(product).items() if not name.startswith("_") and callable(value)]
        if not methods and callable(getattr(product, "__call__", None)):  # noqa: B004  the method itself is meant
            methods = ["__call__"]
        return bool(methods) and all(callable(getattr(made, name, None)) for name in methods)
    return issubclass(made, product)


def describe(annotation: Any) -> str:
    """Return what an annotation expects in the words of YAML, for error messages.

    Args:
        annotation: a type, limits and choices included.
    """
    offered = deferred_of(annotation)
    if offered:
        product = get_args(offered[0])[-1] if get_args(offered[0]) else Any
        return f"a node {{type: ...}} that makes {describe(product)}"
    if annotation is type(None):
        return "null"
    members = arms(annotation)
    if len(members) > 1:
        return " or ".join(describe(member) for member in members)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([describe(inner[0]), *_limits(inner[1:])])
    if origin is Literal:
        return " or ".join("null" if choice is None else repr(choice) for choice in inner)
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        return f"a list of {describe(inner[0])}"
    if origin is tuple:
        return f"a list of {len(inner)}: {', '.join(map(describe, inner))}"
    if origin is dict:
        return f"a mapping of names to {describe(inner[1])}"
    if inspect.isclass(annotation) and not inner:
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("pathlib.", "")


def _limits(marks: tuple[Any, ...]) -> list[str]:
    """Return the limits among the marks of ``Annotated`` in words."""
    parts = [part for mark in marks for part in getattr(mark, "metadata", [mark])]  # pydantic's Field holds several
    found = [(words, getattr(part, name, None)) for part in parts for name, words in LIMITS.items()]
    return [f"{words} {limit:,}" for words, limit in found if limit is not None]
