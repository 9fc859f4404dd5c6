"""Reads files of JSON rows that others wrote: a mapping that holds one very long list, and files of a mapping a line.

A million rows as Python objects take several times the memory of the file. Of a mapping a piece is parsed at a time,
most rows of it by one call of the json module; its rows are handed over in groups and not kept.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from common.files import check_size
from common.text_files import keys_once, read_text
from datasets.loading.rows import ManifestError

PIECE = 1 << 20  # characters
Take = Callable[[list[Any]], object]
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"[-+.eE0-9]*")
LONGEST = 60  # characters of a value that a message shows
DIGITS = 4300  # of a whole number, which Python reads


class NumberError(ValueError):
    """A whole number of so many digits that it is not read."""


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise NumberError(f"holds a whole number of {len(digits)} digits, expected at most {DIGITS}")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_whole, object_pairs_hook=keys_once)


def read_json_rows(path: Path, key: str, take: Take) -> Any:
    """Parse a JSON file (UTF-8, UTF-16 or UTF-32) whose mapping holds a list at ``key`` that may be very long.

    ``take`` is called with some of its rows at a time, in order, and the list is empty in what is returned. Raises
    NumberError for a number of thousands of digits, ValueError with the position where it is no JSON, OSError,
    LargeFileError.
    """
    check_size(path)
    with path.open("rb") as file:
        encoding = json.detect_encoding(file.read(4))
        file.seek(0)
        text = _Text(io.TextIOWrapper(file, encoding, errors="surrogatepass", newline=""))
        try:
            return _document(text, key, take)
        except json.JSONDecodeError:
            json.loads(path.read_bytes(), parse_int=_whole)  # says where in the whole file it is
            raise


def read_json_lines(path: Path, remedy: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the mapping of each line that is not empty, behind what errors call the line: file and number.

    A ManifestError names a line that is no mapping, and ends with the ``remedy``. Raises TextError, OSError.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        name = f"{path}, line {number}"
        try:
            row = _DECODER.decode(line)
        except NumberError as error:
            raise ManifestError(f"{name}: {error}; {remedy}") from error
        except RecursionError as error:
            raise ManifestError(
                f"{name}: holds lists or mappings nested too deeply to be read, expected a mapping; {remedy}"
            ) from error
        except ValueError as error:
            raise ManifestError(f"{name}: is not JSON ({error}), expected a mapping; {remedy}") from error
        if not isinstance(row, dict):
            raise ManifestError(f"{name}: holds {shown(row)}, expected a mapping; {remedy}")
        yield name, row


def shown(value: Any) -> str:
    """Return a value of JSON as a message shows it: the beginning of its JSON, without halves of characters."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value)  # both escape them
    except RecursionError:
        return "lists or mappings nested too deeply to be shown"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


class _Text:
    """A text file, open at its beginning, of which a piece is in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.text, self.at = "", 0

    def more(self) -> bool:
        """Forget what is read and get the next piece, larger where a value goes on beyond it; False at the end."""
        piece = self._file.read(max(PIECE, len(self.text) - self.at))
        self.text, self.at = self.text[self.at :] + piece, 0
        return bool(piece)

    def next(self) -> str:
        """Go to the next character that is no space, and return it; "" at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def take(self, characters: str) -> str:
        """Return the next character that is no space and go beyond it; it must be one of ``characters``."""
        found = self.next()
        if not found or found not in characters:
            raise json.JSONDecodeError(f"Expecting one of {characters}", self.text, self.at)
        self.at += 1
        return found

    def value(self) -> Any:
        """Parse the value that comes next and go beyond it."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                if not self.more():
                    raise
                continue
            if _NUMBER.match(self.text, end).end() == len(self.text) and self.more():
                continue  # a number may go on
            self.at = end
            return value

    def group(self) -> list[Any]:
        """Parse the rows that are whole in the piece by one call, else the one that comes next."""
        self.next()
        end = self.text.rfind("},", self.at) + 1
        if end:  # a cut within a row leaves a bracket or a string open, which is no JSON
            try:
                rows = _DECODER.decode(f"[{self.text[self.at : end]}]")
                self.at = end
                return rows
            except json.JSONDecodeError:
                pass
        return [self.value()]


def _document(text: _Text, key: str, take: Take) -> Any:
    """Parse the whole file."""
    content = text.value() if text.next() != "{" else _mapping(text, key, take)
    if text.next():
        raise json.JSONDecodeError("Extra data", text.text, text.at)
    return content


def _mapping(text: _Text, key: str, take: Take) -> dict[str, Any]:
    """Parse the mapping that comes next."""
    content: dict[str, Any] = {}
    text.take("{")
    if text.next() == "}":
        text.take("}")
        return content
    while True:
        if text.next() != '"':
            raise json.JSONDecodeError("Expecting property name", text.text, text.at)
        name = text.value()
        text.take(":")
        if name in content:
            raise ValueError(f"the key {name!r} stands twice")
        if name == key and text.next() == "[":
            content[key] = []
            _rows(text, take)
        else:
            content[name] = text.value()
        if text.take(",}") == "}":
            return content


def _rows(text: _Text, take: Take) -> None:
    """Hand over the rows of the list that comes next."""
    text.take("[")
    if text.next() == "]":
        text.take("]")
        return
    while True:
        take(text.group())
        if text.take(",]") == "]":
            return
