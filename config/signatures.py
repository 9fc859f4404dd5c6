"""Signatures of what a config names: keywords, annotations taken apart, limits in words."""

import contextlib
import dataclasses
import inspect
import keyword
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from common.errors import UserError
from config.limits import of_torch_optim

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
"""Key path, and what was found and expected there."""


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
    """One keyword of a constructor: name, resolved annotation (``Any`` without one), default.

    The default is ``inspect.Parameter.empty`` for one that YAML must give.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Return whether YAML must give it."""
        return self.default is inspect.Parameter.empty


def parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the keywords of a class or function by the names that YAML has, without ``*args`` and ``**kwargs``.

    A parameter such as ``class_``, which Python cannot call ``class``, is ``class`` in YAML.
    """
    return dict(_parameters(target))


def python_name(key: str) -> str:
    """Return the parameter that a key of YAML is: ``class_`` of ``class``."""
    return f"{key}_" if keyword.iskeyword(key) else key


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
        if f"{target.__module__}.".startswith("torch.optim."):
            annotation = of_torch_optim(target.__name__, parameter.name) or annotation
        bare = parameter.name.removesuffix("_")
        name = bare if python_name(bare) == parameter.name else parameter.name
        found[name] = Parameter(name, annotation, default)
    return found


@cache
def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a call by name, ``return`` among them."""
    call = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(call, include_extras=True)
    except NameError:  # a third-party signature, some of whose annotations name things under TYPE_CHECKING
        return {name: hint for name, text in call.__annotations__.items() for hint in _hint(text, call.__globals__)}


def _hint(text: Any, names: dict[str, Any]) -> Iterator[Any]:
    """Yield one annotation, if the ``names`` of its module tell what it is."""
    with contextlib.suppress(NameError):
        one = types.SimpleNamespace(__annotations__={"one": text})
        yield get_type_hints(one, names, include_extras=True)["one"]


def arms(annotation: Any) -> list[Any]:
    """Return the alternatives of a union and of the unions in it, or the annotation alone."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [arm for member in get_args(annotation) for arm in arms(member)]
    return [annotation]


@dataclass(frozen=True)
class Kind:
    """An annotation taken apart: what YAML may hold for it."""

    # alternatives of its unions without their limits: ``Annotated[int, Ge(1)] | None`` has int and None
    members: tuple[Any, ...]
    # what a node may make: the members, and what is built of a node that a :class:`Deferred` asks for
    products: tuple[Any, ...]
    offered: tuple[str, ...]  # keywords that the owner will give to the unbuilt node
    deferred: bool  # whether it asks for an unbuilt node
    group: type | None  # the dataclass among the members; None where there is none
    values: Any  # annotation of the values of a mapping; None where it is not one kind of mapping
    choices: tuple[Any, ...]  # values of the literals among the members
    holds_nodes: bool  # whether a call can stand for it rather than a plain value only

    def is_path(self, value: Any) -> bool:
        """Return whether a value stands for a path; a text that is one of the choices beside a path does not."""
        return isinstance(value, str | Path) and Path in self.members and value not in self.choices

    def items(self, count: int) -> dict[Any, list[Any]]:
        """Return the annotations of the items of a list of ``count``, by the members that are such a list."""
        return {member: kinds for member in self.members if (kinds := _item_kinds(member, count)) is not None}


@cache
def kind_of(annotation: Any) -> Kind:
    """Return an annotation taken apart."""
    members, products, offered, deferred = [], [], [], False
    for arm in arms(annotation):
        if (found := _deferred(arm)) is not None:
            products.append(found[0])
            offered += found[1]
            deferred = True
        else:
            bare = kind_of(get_args(arm)[0]).members if get_origin(arm) is Annotated else (arm,)
            members += bare
            products += bare
    mappings = [get_args(member)[1] for member in members if get_origin(member) is dict]
    groups = [member for member in members if inspect.isclass(member) and dataclasses.is_dataclass(member)]
    return Kind(
        members=tuple(members),
        products=tuple(products),
        offered=tuple(offered),
        deferred=deferred,
        group=groups[0] if groups else None,
        values=mappings[0] if len(mappings) == 1 else None,
        choices=tuple(choice for member in members if get_origin(member) is Literal for choice in get_args(member)),
        holds_nodes=deferred
        or any(inspect.isclass(member) and member.__module__ not in ("builtins", "pathlib") for member in members),
    )


def _deferred(annotation: Any) -> tuple[Any, tuple[str, ...]] | None:
    """Return what is built of an unbuilt node that ``annotation`` asks for, and the keywords that the owner gives."""
    if get_origin(annotation) is not Annotated:
        return None
    inner, *marks = get_args(annotation)
    mark = next((mark for mark in marks if isinstance(mark, Deferred)), None)
    return None if mark is None else ((get_args(inner) or (Any,))[-1], mark.names)


def _item_kinds(annotation: Any, count: int) -> list[Any] | None:
    """Return the annotation of each item of a list of ``count``, or None where ``annotation`` is no such list."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list and inner:
        return list(inner) * count
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return [inner[0]] * count
    if origin is tuple and len(inner) == count:
        return list(inner)
    return None


def fits(target: Callable[..., Any], products: Iterable[Any]) -> bool:
    """Return whether what a class or function makes can stand for one of ``products``.

    Of a function the return annotation counts; without one nothing is known. Products are types, protocols (which need
    their methods) and ``Any``, which takes all but None.
    """
    made = [target] if inspect.isclass(target) else arms(_hints(target).get("return"))
    made = [get_origin(arm) or arm for arm in made]
    if not made or not all(map(inspect.isclass, made)):
        return False
    return any(all(_stands_for(arm, product) for arm in made) for product in products)


def serves(target: Callable[..., Any], products: Iterable[Any], offered: Iterable[str]) -> bool:
    """Return whether a node of ``target`` can stand where one of ``products`` is wanted.

    A target that takes none of the keywords ``offered`` by the owner was not made for it.
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
    """Return what an annotation expects, limits and choices included, in the words of YAML."""
    if (deferred := _deferred(annotation)) is not None:
        return f"a node {{type: ...}} that makes {describe(deferred[0])}"
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


def single_marks(marks: Iterable[Any]) -> list[Any]:
    """Return the marks of ``Annotated`` one by one: pydantic's Field holds several."""
    return [part for mark in marks for part in getattr(mark, "metadata", [mark])]


def _limits(marks: tuple[Any, ...]) -> list[str]:
    """Return the limits among the marks of ``Annotated`` in words."""
    found = [(words, getattr(mark, name, None)) for mark in single_marks(marks) for name, words in LIMITS.items()]
    return [f"{words} {limit:,}" for words, limit in found if limit is not None]
