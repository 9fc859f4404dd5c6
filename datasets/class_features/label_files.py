"""Pickled lists and NumPy arrays of class numbers (EthanZhu90/ZSL_GAN ``labels_train.pkl``), read without running code.

The pickles are of Python 2 with NumPy's own classes inside; here stand-ins take what these would hold, and the numbers
are made of the bytes.
"""

import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from common.guarded_pickles import GuardedUnpickler
from common.safe_load import BrokenPickleError, UnsafePickleError

LARGEST = 2**26  # bytes; NABirds' 48,562 labels have half a megabyte
NUMPY = re.compile(r"numpy(\.core|\._core)?(\.multiarray)?")


class _Kind:
    """Stands for a dtype: its code, such as ``i8``, and the order of its bytes."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Values:
    """Stands for an array: shape, kind and bytes as the pickle states them."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def numbers(self) -> np.ndarray:
        """Return the array, of integers and one axis or several; raise any exception where it is not one."""
        _, shape, kind, by_column, content = self.state
        content = content.encode("latin1") if isinstance(content, str) else content
        dtype = np.dtype(f"{kind.order}{kind.code}")
        if (
            dtype.kind not in "iu"
            or not isinstance(content, bytes)
            or math.prod(shape) * dtype.itemsize != len(content)
        ):
            raise ValueError("no array of integers")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")


class _LabelUnpickler(GuardedUnpickler):
    """Finds stand-ins for the few names of NumPy's arrays, and refuses all others."""

    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name."""
        if NUMPY.fullmatch(module):
            if name == "_reconstruct":
                return lambda *_: _Values()
            if name in ("ndarray", "dtype"):
                return {"ndarray": _Values, "dtype": _Kind}[name]
        if (module, name) == ("_codecs", "encode"):
            return lambda text, _encoding: text.encode("latin1")
        raise UnsafePickleError(
            f"{self.path} wants to load {module}.{name}; only arrays and lists of integers are allowed, since anything "
            "else could run code. Nothing was loaded."
        )

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(f"{self.path} refers to an object outside the file ({pid!r}); nothing was loaded.")


def read_labels(path: Path) -> np.ndarray:
    """Read the class numbers (n,) int64 of a pickle that holds a list or an array of them.

    Raises:
        UnsafePickleError: it names anything else; none of it is called.
        BrokenPickleError: it is missing, too large, damaged, or holds something else.
    """
    if not path.is_file():
        raise BrokenPickleError(f"There is no file {path}: expected a pickle of class numbers there.")
    if path.stat().st_size > LARGEST:
        raise BrokenPickleError(f"{path} has {path.stat().st_size} bytes, expected at most {LARGEST}.")
    try:
        value = _LabelUnpickler(path.read_bytes(), path).load()
        numbers = value.numbers() if isinstance(value, _Values) else _listed(value)
        return numbers.reshape(-1).astype(np.int64)
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise BrokenPickleError(
            f"{path} ({path.stat().st_size} bytes) does not hold a list or an array of class numbers: it is damaged or "
            "of another kind. Fetch or copy it again."
        ) from error


def _listed(value: Any) -> np.ndarray:
    if not isinstance(value, list) or not all(type(number) is int and abs(number) < 2**63 for number in value):
        raise ValueError("no list of integers")
    return np.array(value, np.int64)
