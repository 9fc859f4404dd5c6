"""Text files of other programs: every Unicode encoding is read, any other refused in a sentence that names it."""

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import LargeFileError, read_at_once

MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
PACKED = (
    (b"\x1f\x8b", "gzip"), (b"PK\3\4", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")
)  # fmt: skip
SHOWN = 60  # characters of a mapping that a message shows
LONGEST_NUMBER = 18  # digits; fits 64 bits
SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


class TextError(UserError):
    """A file that is no text, or text in an encoding that nobody can know for certain."""


def read_text(path: Path) -> str:
    """Read a text file in any Unicode encoding, without byte order mark, all line ends as newlines.

    A TextError says that the encoding is another, see :func:`decode_text`, that the file is larger than what is read at
    once, or that no file can have such a name.
    """
    if "\0" in str(path):
        raise TextError(f"the name {str(path)!r} holds a NUL character, which no file's has; correct it")
    try:
        return decode_text(read_at_once(path), str(path))
    except LargeFileError as error:
        raise TextError(str(error)) from error


def decode_text(content: bytes, name: str) -> str:
    """Decode the bytes of a text file that messages call ``name``.

    UTF-8 and, with a byte order mark or by the zero bytes of its letters, UTF-16 and UTF-32 are read, since they cannot
    be mistaken for anything else. One-byte encodings such as Latin-1 can, and end in a TextError that names the line
    and the first odd byte's meaning in Latin-1; so do compressed files.
    """
    if packed := packed_as(content):
        raise TextError(f"{name} is compressed ({packed}), expected plain text; unpack it first")
    encoding, start = next(((code, len(mark)) for mark, code in MARKS if content.startswith(mark)), (None, 0))
    encoding = encoding or _by_zeros(content)
    try:
        text = content[start:].decode(encoding)
    except UnicodeDecodeError as error:
        raise TextError(_not_decoded(content[start:], encoding, error, name)) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TextError(f"{name} is no text: line {line} holds a zero byte; give the text file, in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, remedy: str) -> Any:
    """Read plain values from a JSON file in any Unicode encoding; a TextError says what is wrong and the ``remedy``."""
    return parse_json(read_text(path), str(path), remedy)


def parse_json(content: str | bytes, name: str, remedy: str) -> Any:
    """Return the plain values of JSON that messages call ``name``; errors as of :func:`read_json`."""
    try:
        return json.loads(content, object_pairs_hook=keys_once)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]
        raise TextError(f"{name} is no whole JSON ({reason}): {remedy}") from error


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping of JSON whose keys are all different, for the json module to call.

    Of equal keys all but the last would be lost without a word. Raises ValueError with the key and the mapping.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        try:
            text = json.dumps(found)
        except RecursionError:
            text = "a mapping nested too deeply to be shown"
        raise ValueError(f"the key {twice!r} stands twice in {text if len(text) <= SHOWN else text[:SHOWN] + '...'}")
    return found


def packed_as(content: bytes) -> str | None:
    """Return the program that compressed ``content``, whose beginning is enough; None of others."""
    return next((program for mark, program in PACKED if content.startswith(mark)), None)


def _by_zeros(content: bytes) -> str:
    """Return the encoding of bytes without a mark: ASCII letters in UTF-16 have a zero byte, always at the same end."""
    pairs = content[: len(content) // 2 * 2]
    even, odd = pairs[::2].count(0), pairs[1::2].count(0)
    if max(even, odd) * 8 <= len(pairs) or min(even, odd) * 8 > max(even, odd):  # of half as many letters as bytes
        return "utf-8"
    return "utf-16-le" if odd > even else "utf-16-be"


def _not_decoded(content: bytes, encoding: str, error: UnicodeDecodeError, name: str) -> str:
    """Return the error of bytes that are not in the encoding."""
    if encoding != "utf-8":
        return f"{name} begins as {encoding.upper()} and is broken ({error.reason}); save it as UTF-8"
    line = content.count(b"\n", 0, error.start) + 1
    odd = content[error.start]
    before = content[max(0, error.start - 20) : error.start].decode("utf-8", "ignore").rpartition("\n")[2]
    latin = bytes([odd]).decode("cp1252", "replace")
    return (
        f"{name} is no text in UTF-8: line {line} holds the byte 0x{odd:02x} after {before!r}, which is {latin!r} in "
        "Latin-1 and something else in other encodings; save it as UTF-8, such as by iconv -f LATIN1 -t UTF-8"
    )


def without_surrogates(text: str) -> str:
    """Replace halves of characters, which JSON and file names may hold but no file can, by U+FFFD."""
    return text if text.isascii() else text.translate(SURROGATES)


def is_whole_number(text: str) -> bool:
    """Return whether a text is a whole number from 0 with at most 18 digits (``str.isdigit`` also takes ``²``)."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
