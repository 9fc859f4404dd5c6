"""Looks through pickles before anything is made of them: what would grow, hang or read beyond the file is found.

A pickle is a program. Few bytes of it can nest shared tuples as keys, whose hashes take for ever, or claim tensors
larger than the file. Python's own unpickler, slower than the one in C, lets every step be looked at.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

PLAIN = (str, bytes, int, float, bool, type(None))
ITEM_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
ARCHIVE = b"PK\x03\x04"


class GrowingPickleError(ValueError):
    """A file that would become larger than it is, or take for ever."""


class _Whole:
    """A file of which no read comes back short."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def readline(self) -> bytes:
        found = self.file.readline()
        if not found.endswith(b"\n"):
            raise EOFError("the pickle is cut off")
        return found

    def read(self, count: int) -> bytes:
        found = self.file.read(count)
        if len(found) < count:
            raise EOFError("the pickle is cut off")
        return found


class GuardedUnpickler(pickle._Unpickler):
    """Refuses keys and members of sets that are not plain values or flat tuples; ``encoding`` is for Python 2."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        super().__init__(_Whole(file), encoding=encoding)

    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012
    del dispatch[pickle.BYTEARRAY8[0]]  # it takes memory before it reads

    def _guarded(self, name: str, keys: slice) -> None:
        """Do one step of pickle, ``name``, unless what it hashes, ``keys`` of the stack, may take long."""
        for key in self.stack[keys]:
            parts = key if type(key) is tuple else (key,)
            if not all(type(part) in PLAIN for part in parts):
                raise GrowingPickleError(f"a {type(key).__name__} as a key")
        getattr(super(), name)()

    def _setitem(self) -> None:
        self._guarded("load_setitem", slice(-2, -1))

    def _setitems(self) -> None:
        self._guarded("load_setitems", slice(None, None, 2))

    def _dict(self) -> None:
        self._guarded("load_dict", slice(None, None, 2))

    def _additems(self) -> None:
        self._guarded("load_additems", slice(None))

    def _frozenset(self) -> None:
        self._guarded("load_frozenset", slice(None))

    dispatch[pickle.SETITEM[0]] = _setitem
    dispatch[pickle.SETITEMS[0]] = _setitems
    dispatch[pickle.DICT[0]] = _dict
    dispatch[pickle.ADDITEMS[0]] = _additems
    dispatch[pickle.FROZENSET[0]] = _frozenset


class _Stub:
    """Stands for whatever class a pickle names; takes everything and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Stub":
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def append(self, item: Any) -> None: ...
    def extend(self, items: Any) -> None: ...
    def add(self, item: Any) -> None: ...


class _Skimmer(GuardedUnpickler):
    """Reads the steps of a torch file's pickle without its classes, and notes which storages it claims."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.claims: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ARG002
        return type(name, (_Stub,), {})

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is tuple and len(pid) >= 5 and pid[0] == "storage":
            kind, key, numel = pid[1], pid[2], pid[4]
            if type(numel) is not int or numel < 0:
                raise GrowingPickleError("a storage of no size")
            self.claims[str(key)] = numel * ITEM_BYTES.get(getattr(kind, "__name__", ""), 1)
        if type(pid) is tuple and pid and pid[0] == "module":  # a network's class, which the older format names so
            return _Stub
        return _Stub()


def is_archive(path: Path) -> bool:
    """Recognise a zip archive by its first bytes, as torch does; with a pickle before it, it is none."""
    with path.open("rb") as file:
        return file.read(4) == ARCHIVE


def read_without_classes(path: Path) -> Any:
    """Return the plain values of a torch file; whatever is of a class, tensors too, is an empty stub, and no code runs.

    ``path`` has passed :func:`check_torch_file`.
    """
    if is_archive(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
            with archive.open(name) as file:
                return _Skimmer(file).load()
    with path.open("rb") as file:
        for _ in range(3):  # a magic number, the format, the writer's machine
            _Skimmer(file).load()
        return _Skimmer(file).load()


def check_torch_file(path: Path) -> None:
    """Refuse a torch file (zip archive or older format) that claims more than it holds, before torch reads it.

    A GrowingPickleError says that entries of the archive are compressed or overlap, storages are larger than their
    entries or the file, or its pickle would hang. A damaged file raises ValueError or any exception of zipfile and
    pickle.
    """
    if is_archive(path):
        _check_archive(path)
        return
    with path.open("rb") as file:
        total = 0
        for _ in range(4):  # a magic number, the format, the writer's machine, the content; then the storages
            skimmer = _Skimmer(file)
            skimmer.load()
            total += sum(skimmer.claims.values())
    if total > path.stat().st_size:
        raise ValueError(f"its tensors claim {total} bytes: usually it is cut off")


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise GrowingPickleError("its parts are compressed")
        total = sum(entry.file_size for entry in archive.infolist())
        if total > path.stat().st_size:
            raise GrowingPickleError(f"its parts claim {total} bytes")
        for name in entries:
            folder, _, last = name.rpartition("/")
            if last != "data.pkl":
                continue
            with archive.open(name) as file:
                skimmer = _Skimmer(file)
                skimmer.load()
            for key, size in skimmer.claims.items():
                entry = entries.get(f"{folder}/data/{key}")
                if entry is None or entry.file_size < size:
                    raise GrowingPickleError(f"the tensor {key} claims {size} bytes")
