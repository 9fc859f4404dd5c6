"""Files that are either there in full or not at all, also after a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a hidden name to write to; the file gets its own name once it is complete and on disk.

    Args:
        path: The file; its folder is made if needed.

    Yields:
        Where to write; left behind if writing fails, and written over the next time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Args:
        path: The file; its folder is made if needed.
        content: What to write.
    """
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
