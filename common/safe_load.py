"""Torch files and pickles of others: read without running code; errors are one sentence, whatever is wrong.

Torch files may hold weights, arrays, ``argparse.Namespace`` and plain values; pickles the latter two.
"""

import argparse
import io
import math
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import UserError
from common.guarded_pickles import PLAIN, GrowingPickleError, GuardedUnpickler, check_torch_file

# For torch.serialization.safe_globals. Files of 2019 use the old name of the module.
NUMPY_VALUES = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "u1", "i1", "i4", "i8", "?")},
    *(
        (function, f"numpy.{module}.multiarray.{function.__name__}")
        for function in (np._core.multiarray._reconstruct, np._core.multiarray.scalar)
        for module in ("core", "_core")
    ),
]
# Errors of torch's restricted unpickler, besides its own, on files of which bytes were cut or changed.
DAMAGED = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError,
    zipfile.BadZipFile,
)  # fmt: skip
LARGEST_PICKLE = 16 * 2**20  # bytes; an args.pkl has about one thousand
SPARE = 1000  # values that a pickle may hold beyond four for each of its bytes


class TorchFileError(UserError, ValueError):
    """A torch file that is damaged, of another format, larger than it seems, or wants to run code."""


def torch_bytes(content: Any, old: bool = False) -> bytes:
    """Return plain values and tensors as a torch file, ``old`` as versions before 1.6 read it too."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


def read_torch_values(path: Path) -> Any:
    """Read a torch file (zip or the older format) on the CPU with ``weights_only=True``: tensors, arrays, plain values.

    Arguments of a command, which snapshots of GeNeVA-GAN hold, are plain values too.

    A TorchFileError says that it is truncated or corrupt, wants to run code, or claims more than it holds.
    """
    check_size(path)
    try:
        with torch.serialization.safe_globals([*NUMPY_VALUES, argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+) (?:was not|whose module)", str(error))
        if refused:
            raise TorchFileError(
                f"{path} holds more than weights and plain values ({refused[1]}) and was not read, since reading it "
                "could run code: save tensors, arrays and plain values alone."
            ) from error
        raise TorchFileError(_damaged(path)) from error
    except PermissionError as error:
        raise TorchFileError(f"{path} cannot be read ({error.strerror}): make it readable.") from error
    except DAMAGED as error:
        raise TorchFileError(_damaged(path)) from error
    check_tensors(content, path)
    return content


def check_size(path: Path) -> None:
    """Raise a TorchFileError for a file that is damaged or would become larger than it is, before torch reads it."""
    try:
        check_torch_file(path)
    except GrowingPickleError as error:
        raise TorchFileError(
            f"{path} ({path.stat().st_size} bytes) claims more than it holds or would take for ever to read ({error}), "
            "and was not read: torch writes no such file; get it from another source."
        ) from error
    except PermissionError as error:
        raise TorchFileError(f"{path} cannot be read ({error.strerror}): make it readable.") from error
    except Exception as error:  # of a damaged pickle or archive, of nearly any kind
        raise TorchFileError(_damaged(path)) from error


def check_tensors(content: Any, path: Path) -> None:
    """Raise a TorchFileError for sparse tensors and for those that repeat few numbers, whose copies take all memory."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            plain = value.layout == torch.strided and value.device.type != "meta"
            if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise TorchFileError(
                    f"{path} holds a tensor of shape {tuple(value.shape)} without as many numbers: save it contiguous."
                )
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value
        elif isinstance(value, argparse.Namespace):
            waiting += vars(value).values()


def _damaged(path: Path) -> str:
    """Return what is known of a file that torch could not read, without the words of the libraries below it."""
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        reason = "it is empty"
    elif start == b"PK":  # torch's zip archives
        reason = "it is truncated or damaged"
    else:
        reason = "it is truncated, damaged or of another format"
    return f"{path} ({path.stat().st_size} bytes) is not a complete torch file: {reason}. Fetch or copy it again."


class UnsafePickleError(UserError, ValueError):
    """A pickle names something that is neither ``argparse.Namespace`` nor a plain value."""


class BrokenPickleError(UserError, ValueError):
    """A pickle is missing, truncated, or holds something else than expected."""


class _Unfinished:
    """Stands for a value whose parts are being looked at."""


class _PlainUnpickler(GuardedUnpickler):
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


def read_plain(path: Path, largest: int | None = None, may_grow: bool = True) -> Any:
    """Read a pickle that holds plain values and ``argparse.Namespace`` only.

    Args:
        path: the pickle.
        largest: bytes that it may have, those of settings when None.
        may_grow: whether parts may be shared so often that written out they would be far larger than the file.

    Raises:
        UnsafePickleError: it names any other class or function; none of it is called.
        BrokenPickleError: it is missing, too large, truncated or corrupt.
    """
    path = Path(path)
    if not path.is_file():
        raise BrokenPickleError(f"There is no file {path}: expected a pickle there.")
    largest = LARGEST_PICKLE if largest is None else largest
    if path.stat().st_size >= largest:
        raise BrokenPickleError(f"{path} has {path.stat().st_size} bytes, expected less than {largest}.")
    unpickler = _PlainUnpickler(path.read_bytes(), path)
    try:
        value = unpickler.load()
        return _Plainer(unpickler.namespace, math.inf if may_grow else 4 * path.stat().st_size + SPARE)(value)
    except UserError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise BrokenPickleError(
            f"{path} ({path.stat().st_size} bytes) is not a complete pickle of plain values: it is truncated, damaged "
            "or of another format. Fetch or copy it again."
        ) from error


class _Plainer:
    """Checks that everything is a plain value and puts real namespaces where the stand-in is.

    A value to which a file refers several times is looked at once and stays shared, but counts each time, because a
    message that writes it out writes all of it.
    """

    def __init__(self, stand_in: type, most: float) -> None:
        self.stand_in, self.most = stand_in, most
        self.done: dict[int, tuple[Any, int]] = {}  # by id of what was read, which the reader keeps alive

    def __call__(self, value: Any) -> Any:
        return self._measured(value)[0]

    def _measured(self, value: Any) -> tuple[Any, int]:
        """Return the checked value and its size, shared parts counted each time."""
        if type(value) in PLAIN:
            if type(value) is int and abs(value) >= 2**64:
                raise ValueError("a number beyond 64 bits")
            return value, 1 + (len(value) // 64 if isinstance(value, str | bytes) else 0)
        if id(value) not in self.done:
            self.done[id(value)] = (_Unfinished, 0)
            self.done[id(value)] = self._checked(value)
        found = self.done[id(value)]
        if found[0] is _Unfinished:
            raise ValueError("a value holds itself")
        if found[1] > self.most:
            raise ValueError("it would grow to more than its bytes can hold")
        return found

    def _checked(self, value: Any) -> tuple[Any, int]:
        if type(value) in (list, tuple, set, frozenset):
            parts = [self._measured(item) for item in value]
            return type(value)(part for part, _ in parts), 1 + sum(size for _, size in parts)
        if type(value) is dict:
            keys, items = ([self._measured(part) for part in row] for row in (value.keys(), value.values()))
            made = {key: item for (key, _), (item, _) in zip(keys, items, strict=True)}
            return made, 1 + sum(size for _, size in keys + items)
        if type(value) is self.stand_in:
            fields, size = self._checked(vars(value))
            return argparse.Namespace(**fields), size
        raise ValueError(f"a {type(value).__name__} is not a plain value")


def read_namespace(path: Path) -> argparse.Namespace:
    """Read a pickled ``argparse.Namespace``; errors as of :func:`read_plain`, and where it holds something else."""
    value = read_plain(path, may_grow=False)
    if not isinstance(value, argparse.Namespace):
        raise BrokenPickleError(f"{path} holds a {type(value).__name__}, expected an argparse.Namespace.")
    return value
