"""Pickled settings and lists read without running code: ``argparse.Namespace`` and plain values, nothing else."""

import argparse
import io
import pickle
from pathlib import Path
from typing import Any

from engine.errors import UserError

LARGEST = 16 * 2**20  # bytes; an args.pkl has about one thousand
PLAIN = (str, bytes, int, float, bool, type(None))


class UnsafePickleError(UserError, ValueError):
    """A pickle names something that is neither ``argparse.Namespace`` nor a plain value."""


class BrokenPickleError(UserError, ValueError):
    """A pickle is missing, truncated, or holds something else than expected."""


class _Unfinished:
    """Stands for a value whose parts are being looked at."""


class _PlainUnpickler(pickle.Unpickler):
    """Finds one class, by a private stand-in, so that a hostile file cannot reach the real one."""

    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")  # texts of Python 2
        self.path = path
        self.namespace = type("Namespace", (argparse.Namespace,), {})

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for ``argparse.Namespace``; refuse every other class by name."""
        if (module, name) == ("argparse", "Namespace"):
            return self.namespace
        raise UnsafePickleError(
            f"{self.path} wants to load {module}.{name}; only argparse.Namespace and plain values are allowed, since "
            "anything else could run code. Nothing was loaded."
        )

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(f"{self.path} refers to an object outside the file ({pid!r}); nothing was loaded.")


def read_plain(path: Path, largest: int | None = None) -> Any:
    """Read a pickle that holds plain values and ``argparse.Namespace`` only.

    Args:
        path: The pickle.
        largest: Bytes that it may have, those of settings when None.

    Returns:
        Strings, numbers, None, bytes, lists, tuples, sets, dicts and namespaces.

    Raises:
        UnsafePickleError: It names any other class or function; none of it is called.
        BrokenPickleError: It is missing, too large, truncated or corrupt.
    """
    path = Path(path)
    if not path.is_file():
        raise BrokenPickleError(f"There is no file {path}: expected a pickle there.")
    largest = LARGEST if largest is None else largest
    if path.stat().st_size >= largest:
        raise BrokenPickleError(f"{path} has {path.stat().st_size} bytes, expected less than {largest}.")
    unpickler = _PlainUnpickler(path.read_bytes(), path)
    try:
        value = unpickler.load()
        return _Plainer(unpickler.namespace)(value)
    except UserError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise BrokenPickleError(
            f"{path} ({path.stat().st_size} bytes) is not a complete pickle of plain values: it is truncated, damaged "
            "or of another format. Fetch or copy it again."
        ) from error


class _Plainer:
    """Checks that everything is a plain value and puts real namespaces where the stand-in is.

    What a file refers to again and again is looked at once and stays shared, so that a small file cannot grow.
    """

    def __init__(self, stand_in: type) -> None:
        self.stand_in = stand_in
        self.done: dict[int, Any] = {}  # by id of what was read, which the reader keeps alive

    def __call__(self, value: Any) -> Any:
        if type(value) in PLAIN:
            return value
        if id(value) not in self.done:
            self.done[id(value)] = _Unfinished
            self.done[id(value)] = self._checked(value)
        found = self.done[id(value)]
        if found is _Unfinished:
            raise ValueError("a value holds itself")
        return found

    def _checked(self, value: Any) -> Any:
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(map(self, value))
        if type(value) is dict:
            return {self(key): self(item) for key, item in value.items()}
        if type(value) is self.stand_in:
            return argparse.Namespace(**{key: self(item) for key, item in vars(value).items()})
        raise ValueError(f"a {type(value).__name__} is not a plain value")


def read_namespace(path: Path) -> argparse.Namespace:
    """Read a pickled ``argparse.Namespace``.

    Args:
        path: The pickle.

    Returns:
        The namespace.

    Raises:
        UnsafePickleError: As ``read_plain``.
        BrokenPickleError: As ``read_plain``, or it holds something else.
    """
    value = read_plain(path)
    if not isinstance(value, argparse.Namespace):
        raise BrokenPickleError(f"{path} holds a {type(value).__name__}, expected an argparse.Namespace.")
    return value
