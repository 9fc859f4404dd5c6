"""The PNG files that answers name: random names of our own, and no more bytes than a budget."""

import re
import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from common.errors import UserError
from common.files import write_plainly

NAME = re.compile(r"[0-9a-f]{32}\.png")


class ImageFiles:
    """Keep PNG files in a folder, the newest ones up to a number of bytes; of earlier calls, too.

    Args:
        folder: made if needed; files of other names are left alone.
        budget: bytes of all files together.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder, self._budget = folder, budget
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"folder: {folder} cannot be made ({error.strerror}); give another folder") from error
        there = ((path.stat(), path.name) for path in folder.iterdir() if NAME.fullmatch(path.name))
        by_age = sorted((stat.st_mtime_ns, name, stat.st_size) for stat, name in there)
        self._sizes = OrderedDict((name, size) for _, name, size in by_age)
        self.bytes = sum(self._sizes.values())
        self._drop_oldest()

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, content: bytes) -> str:
        """Write a file and return its name; the oldest ones go where there are too many bytes."""
        name = f"{secrets.token_hex(16)}.png"
        write_plainly(self._folder / name, content)
        with self._lock:
            self._sizes[name] = len(content)
            self.bytes += len(content)
            self._drop_oldest()
        return name

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None where there is none of that name, or none any more."""
        with self._lock:
            if name not in self._sizes:  # only names that this class has made become paths
                return None
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:  # deleted meanwhile
            return None

    def _drop_oldest(self) -> None:
        while self.bytes > self._budget and len(self._sizes) > 1:
            name, size = self._sizes.popitem(last=False)
            self.bytes -= size
            (self._folder / name).unlink(missing_ok=True)
