"""Dotted paths that a config may name.

A config must not be able to run arbitrary code, so a name resolves only when its module is on the allow-list and the
object was defined there (``tasks.attngan.os.system`` is refused although ``os`` is an attribute of that module).
"""

import importlib
import importlib.util
import inspect
import pkgutil
import re
import types
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from config.moved import composed, moved
from config.renamed import renamed_keys
from config.signatures import ConfigError, kind_of, parameters

ALLOWED_MODULES = (
    "datasets",
    "evaluation",
    "engine",
    "gan",
    "losses",
    "main",
    "models",
    "published",
    "tasks",
    "torch.optim",
    "trainer",
)
ENTRY_MODULES = ("main", "tasks", "datasets")
NAMES = ("type", "entry")  # keys whose values are dotted paths
NAMES_SHOWN = 16
VALUE_SHOWN = 120  # characters
ROOT_LIKENESS, NAME_LIKENESS = 0.6, 0.5  # of a suggestion's first module, and of its other parts
MODULE_LIKENESS = 0.8  # of a module in which nothing resembles the name
Suits = Callable[[Callable[..., Any]], bool]
"""Whether a class or function can stand where it is wanted."""
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}(\.[A-Za-z_][A-Za-z0-9_]{0,79}){1,9}")


def shortened(value: Any) -> str:
    """Return a value as an error shows it: as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= VALUE_SHOWN else f"{text[: VALUE_SHOWN - 4]} ..."


def closest(name: str, names: Sequence[str], likeness: float = 0.5) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest of ``names``, or nothing.

    ``likeness``, 0 to 1, is higher where names are many and may be near by chance.
    """
    return did_you_mean(get_close_matches(name, names, n=1, cutoff=likeness))


def did_you_mean(names: Sequence[str], most: int = 1) -> str:
    """Return ``"; did you mean 'x', 'y' or 'z'?"`` with ``most`` of ``names``, or nothing where there are none."""
    if not names:
        return ""
    quoted = [f"'{name}'" for name in names[:most]]
    listed = " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
    return f"; did you mean {listed}?" + (f" ({len(names) - most} more end so)" if len(names) > most else "")


def resolve_type(dotted: str, suits: Suits | None = None) -> Callable[..., Any]:
    """Return the class or function that a dotted path such as ``torch.optim.Adam`` names.

    A ConfigError says that it is not allowed, does not exist, or is no class or function of that module; the path that
    it suggests resolves and ``suits`` where it is wanted.
    """
    if dotted in ALLOWED_MODULES:
        raise ConfigError(_module_message(dotted))
    if not isinstance(dotted, str) or not _DOTTED.fullmatch(dotted):
        raise ConfigError(f"found {shortened(dotted)}, expected a dotted path such as models.davenet.DavenetSpeech")
    if not _allowed(dotted):
        raise ConfigError(
            f"'{dotted}' is not on the allow-list: types come from {', '.join(ALLOWED_MODULES)}{_meant(dotted, suits)}"
        )
    module_name, _, name = dotted.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, but one that it imports is missing
        _refuse_moved(dotted, suits)
        hint = _meant(dotted, suits) or _near_module(module_name)
        raise ConfigError(f"'{dotted}': there is no module '{error.name}'{hint}") from error
    found = getattr(module, name, None)
    if name.startswith("_") or not (inspect.isclass(found) or inspect.isfunction(found)):
        _refuse_moved(dotted, suits)
        if hasattr(module, "__path__") and not name.startswith("_") and importlib.util.find_spec(dotted):
            raise ConfigError(_module_message(dotted))
        raise ConfigError(f"'{dotted}' does not exist{_meant(dotted, suits) or _offered(module)}")
    if not _allowed(found.__module__ + "."):
        raise ConfigError(f"'{dotted}' is defined in {found.__module__}, which is not on the allow-list")
    if not _can_be_called(found):
        raise ConfigError(f"'{dotted}' only describes a kind of class, or is an exception; nothing is built of it")
    return found


def _refuse_moved(dotted: str, suits: Suits | None) -> None:
    """Say where that stands today which a path of another day names."""
    now = moved(dotted)
    if now is not None:
        resolve_type(now, suits)  # what never was there is reported with its nearest name
        raise ConfigError(f"'{dotted}' is now '{now}': write that")


def translated(values: Any) -> Any:
    """Return a copy of a saved config, or a part of one, with today's names for classes, functions and keys.

    Names that today's project knows as they are, and those that it never knew, are left as they are.
    """
    return _translated(values, Any)


def _translated(value: Any, annotation: Any) -> Any:
    """Translate a value that stands for ``annotation``, which says whose keys a mapping without ``type`` holds."""
    kind = kind_of(annotation)
    if isinstance(value, list):
        kinds = next(iter(kind.items(len(value)).values()), [Any] * len(value))
        return [_translated(*pair) for pair in zip(value, kinds, strict=True)]
    if not isinstance(value, dict):
        return value
    value = composed(value)
    named = {key: _name_now(value[key]) for key in NAMES if key in value}
    target = _owner(named) or kind.group
    own = {} if target is None else parameters(target)
    of_all = Any if kind.values is None else kind.values
    now = {} if target is None else {old: new for old, new in renamed_keys(target).items() if new not in value}
    made = {}
    for key, item in value.items():
        key = now.get(key, key)
        made[key] = named[key] if key in named else _translated(item, own[key].annotation if key in own else of_all)
    return made


def _owner(named: dict[str, Any]) -> Callable[..., Any] | None:
    """Return the class or function that a mapping names; None where it names none that is known."""
    for dotted in named.values():
        try:
            return resolve_type(dotted) if isinstance(dotted, str) else None
        except ConfigError:
            return None
    return None


def _name_now(dotted: Any) -> Any:
    now = moved(dotted) if isinstance(dotted, str) else None
    if now is None:
        return _translated(dotted, Any)
    try:
        resolve_type(dotted)
    except ConfigError:
        return now
    return dotted  # a package offers it under the former name


def _can_be_called(target: Callable[..., Any]) -> bool:
    if inspect.isclass(target) and (
        issubclass(target, BaseException) or inspect.isabstract(target) or getattr(target, "_is_protocol", False)
    ):
        return False
    try:
        inspect.signature(target)
    except (TypeError, ValueError):  # some classes written in C
        return False
    return True


def _allowed(dotted: str) -> bool:
    return any(dotted.startswith(module + ".") for module in ALLOWED_MODULES)


def _module_message(dotted: str) -> str:
    """Say that a path is a module and which paths below it can be meant."""
    own, listed = _contents(importlib.import_module(dotted))
    what = "a class or function in it" if own else "a class or function of a module in it"
    return f"'{dotted}' is a module, expected {what}: {listed}"


def _offered(module: types.ModuleType) -> str:
    """Say what a module has instead of a name that resembles nothing in it."""
    listed = _contents(module)[1]
    return f"; {module.__name__} has {listed}" if listed else ""


def _contents(module: types.ModuleType) -> tuple[bool, str]:
    """Return whether a module has classes or functions of its own, and the list of them or else of its modules."""
    dotted = module.__name__
    own = [name for name in public_names(module) if f"{getattr(module, name).__module__}.".startswith(f"{dotted}.")]
    names = own or [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return bool(own), ", ".join(f"{dotted}.{name}" for name in names[:NAMES_SHOWN]) + more


def _meant(dotted: str, suits: Suits | None) -> str:
    """Suggest the class or function whose path resembles ``dotted`` in each of its parts, and that ``suits``."""
    parts = dotted.split(".")
    heads = [(root, count) for root in ALLOWED_MODULES for count in {1, root.count(".") + 1}]
    likeness = {(root, count): _likeness(root, ".".join(parts[:count])) for root, count in heads}
    root, count = max(likeness, key=likeness.__getitem__)
    found = _resembling(root, parts[count:], suits) if likeness[root, count] >= ROOT_LIKENESS else None
    return did_you_mean([found] if found else [])


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _resembling(module_name: str, parts: Sequence[str], suits: Suits | None) -> str | None:
    """Return the path below a module whose parts resemble ``parts``; None where nothing is near."""
    try:
        module = importlib.import_module(module_name)
    except ImportError:  # an optional package is not installed
        return None
    if len(parts) < 2:
        offered = {name: getattr(module, name) for name in public_names(module)}
        fitting = [name for name, value in offered.items() if _can_be_called(value) and (not suits or suits(value))]
        names = {name.lower(): name for name in fitting}
        near = get_close_matches(parts[0].lower(), names, n=1, cutoff=NAME_LIKENESS) if parts else []
        return f"{module_name}.{names[near[0]]}" if near else None
    modules = [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
    near = get_close_matches(parts[0], modules, n=3, cutoff=NAME_LIKENESS)
    paths = (_resembling(f"{module_name}.{name}", parts[1:], suits) for name in near)
    return next(filter(None, paths), None)


def _near_module(module_name: str) -> str:
    """Say what the module offers that resembles a missing one, or else what stands beside that."""
    parent_name, _, name = module_name.rpartition(".")
    try:
        parent = importlib.import_module(parent_name) if parent_name else None
    except ModuleNotFoundError:
        return ""
    if parent is None or not hasattr(parent, "__path__"):
        return ""
    modules = [module.name for module in pkgutil.iter_modules(parent.__path__)]
    near = get_close_matches(name, modules, n=1, cutoff=MODULE_LIKENESS)
    return _offered(importlib.import_module(f"{parent_name}.{near[0]}") if near else parent)


def public_names(module: types.ModuleType) -> list[str]:
    """Return the classes and functions that ``module`` offers to configs."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and not (inspect.isclass(value) and issubclass(value, BaseException))
        and _allowed(value.__module__ + ".")
    ]
