"""Short names of contents, by which a resumed run finds out that what it learns from has changed."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

LETTERS = 12
READ = 64  # files whose content counts, evenly spread over all
BEGINNING = 2**20  # bytes of such a file that are read
THREADS = 16  # that wait for a network drive
AT_ONCE = 1024  # files of a thread


def digest(parts: Iterable[bytes | str]) -> str:
    """Return a short hexadecimal digest of parts (lone surrogates allowed); where a part ends counts too."""
    found = hashlib.sha256()
    for part in parts:
        content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big"))
        found.update(content)
    return found.hexdigest()[:LETTERS]


def rows_digest(rows: Iterable[bytes | str], count: int) -> str:
    """Return the number and the digest of rows, such as ``24 rows with digest 0123456789ab``."""
    return f"{count} rows with digest {digest(rows)}"


def files_digest(paths: Iterable[str]) -> str:
    """Return number, bytes and digest of files, such as ``48 files of 1,234 bytes with digest 0123456789ab``.

    The size of each counts and, of ``READ`` of them evenly spread, the beginning; their names and times do not, which
    copies change. A file that cannot be read counts as one of size -1.
    """
    files = _EvenlySpread(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        sizes = np.concatenate([np.zeros(0, np.int64), *_by_groups(files, pool)])
        beginnings = list(pool.map(_beginning, files.kept()))
    total = int(sizes[sizes > 0].sum())
    noun = "file" if len(sizes) == 1 else "files"
    return f"{len(sizes)} {noun} of {total:,} bytes with digest {digest([sizes.tobytes(), *beginnings])}"


class _EvenlySpread:
    """Passes paths on and keeps at most ``READ`` of them, whose distances are equal."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths, self._found, self._distance = paths, [], 1

    def __iter__(self) -> Iterator[str]:
        for number, path in enumerate(self._paths):
            if number % self._distance == 0:
                self._found.append(path)
                if len(self._found) > READ:
                    self._found, self._distance = self._found[::2], 2 * self._distance
            yield path

    def kept(self) -> list[str]:
        """Return those that are kept of what was passed on."""
        return self._found


def _by_groups(paths: Iterable[str], pool: ThreadPoolExecutor) -> Iterator[np.ndarray]:
    """Yield the sizes of files, some groups at a time, so that not all paths are held."""
    rest = iter(paths)
    while several := [group for _ in range(THREADS) if (group := list(islice(rest, AT_ONCE)))]:
        yield from pool.map(_sizes, several)


def _sizes(paths: list[str]) -> np.ndarray:
    return np.fromiter(map(_size, paths), np.int64, len(paths))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116  a Path takes longer than the call
    except (OSError, ValueError):
        return -1


def _beginning(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(BEGINNING)
    except (OSError, ValueError):
        return b""
