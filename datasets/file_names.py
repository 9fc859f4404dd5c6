"""Finds files that a list names in another way than the disk: with backslashes, or in another form of Unicode.

Lists that were written on Windows separate folders by backslashes. Names with accents are stored in two forms: composed
(NFC: Windows, Linux, most programs) or decomposed (NFD: older file systems of macOS, archives made there).
"""

import errno
import os
import re
import stat
from pathlib import Path, PureWindowsPath
from unicodedata import normalize

SHOWN = 400  # characters of a path in a message
DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)|\\\\")


class FileNames:
    """Lists each folder once, which is quick for millions of files; ``backslashes`` counts those read as slashes."""

    def __init__(self) -> None:
        self.backslashes = 0
        self._files: dict[str, frozenset[str]] = {}
        self._forms: dict[tuple[str, bool], dict[str, str]] = {}

    def find(self, path: str) -> str | None:
        """Return a file's path on the disk, under its very name or one that means the same; None where none is."""
        folder, name = os.path.split(path)
        if name in self.files(folder):
            return path
        slashed = path.replace("\\", "/")
        found = self._in_another_form(slashed)
        self.backslashes += found is not None and slashed != path
        return found

    def files(self, folder: str) -> frozenset[str]:
        """Return the names of everything in ``folder`` that is no folder itself; none where there is no folder."""
        if folder not in self._files:
            self._files[folder] = frozenset(_entries(folder, folders=False))
        return self._files[folder]

    def _in_another_form(self, path: str) -> str | None:
        """Return the file whose name, and whose folders' names, are the same text as in ``path``."""
        folder, name = os.path.split(path)
        folder = self._folder(folder)
        if folder is None:
            return None
        name = name if name in self.files(folder) else self._by_form(folder, folders=False).get(normalize("NFC", name))
        return None if name is None else os.path.join(folder, name)  # noqa: PTH118  text, for speed

    def _folder(self, path: str) -> str | None:
        """Return the folder on the disk, from the innermost that has its very name on."""
        names = []
        while not os.path.isdir(path):  # noqa: PTH112
            above, name = os.path.split(path)
            if not name or above == path:
                return None
            names.append(name)
            path = above
        for name in reversed(names):
            found = self._by_form(path, folders=True).get(normalize("NFC", name))
            if not found:
                return None
            path = os.path.join(path, found)  # noqa: PTH118
        return path

    def _by_form(self, folder: str, folders: bool) -> dict[str, str]:
        """Return the names on the disk by their composed form."""
        if (folder, folders) not in self._forms:
            names = _entries(folder, folders) if folders else self.files(folder)
            self._forms[folder, folders] = {normalize("NFC", name): name for name in sorted(names)}
        return self._forms[folder, folders]


def missing(path: str, given: str) -> str:
    """Return "<path> does not exist" with the probable reason; ``given`` is the list's name of the file."""
    if DRIVE.match(given):
        relative = shown_path(PureWindowsPath(given).name)
        return (
            f"{shown_path(given)} does not exist: it is a path of Windows, on a drive of another machine; name the "
            f"folder in audio_base_path or image_base_path and the file by what follows, such as {relative}"
        )
    if "\0" in given:
        return f"{shown_path(given)} holds a NUL character, which no file's name has"
    shown = shown_path(path)
    if "\\" in given:
        return f"{shown} does not exist, nor with slashes for its backslashes"
    return f"{shown} does not exist"


def not_there(path: Path, kind: str) -> str | None:
    """Return why no ``kind`` ("sound" or "image") file can be read at a path, and the remedy; None where one can.

    It is the end of a sentence that begins with the path.
    """
    if "\0" in str(path):
        return "the name holds a NUL character, which no file's has; correct the manifest"
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no such {kind} file; correct the manifest (or its base path), or copy the file there"
    except OSError as error:
        return f"cannot be found ({error.strerror}); correct the manifest (or its base path)"
    if stat.S_ISREG(mode):
        return None
    found = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    article = "an" if kind[:1] in "aeiou" else "a"
    return f"is {found}, expected {article} {kind} file; correct the manifest (or its base path)"


def shown_path(path: str) -> str:
    """Return ``path`` as a message shows it: in quotes and escaped where it holds line ends, cut in its middle."""
    path = path if path.isprintable() else repr(path)
    return path if len(path) <= SHOWN else f"{path[: SHOWN // 2]}...{path[-SHOWN // 2 :]}"


def _entries(folder: str, folders: bool) -> list[str]:
    """Return the names of the folders in a folder, or of all else; none where it is no folder."""
    try:
        with os.scandir(folder or ".") as entries:
            return [entry.name for entry in entries if _is_folder(entry) == folders]
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: a name that no file system has
        return []
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return []
        raise


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return True
