"""Everything known of a spoken caption besides its image and sound, for many of them in little memory."""

import marshal
import math
import operator
import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.text_files import without_surrogates
from datasets.loading.rows import ManifestError, report_problems

Word = tuple[float, float, str]
PARTS = 3  # of a word: start, end and itself
LATEST = 1e6  # seconds at which a word may end: 11 days
EXPECTED_TIMES = "expected start__WORD__end tokens in seconds, from 0 on and the end not before the start"
Fields = tuple[str, str, str, list[Word] | str | None, str | None, str | None]


@dataclass(frozen=True)
class SpokenCaption:
    """One row of a list of spoken captions."""

    uttid: str  # name of the utterance, unique by convention
    speaker: str = ""  # "" when unknown
    text: str = ""  # "" when unknown
    alignment: list[Word] | None = None  # (start, end, word) in seconds, None when unknown
    audio_path: Path | None = None  # None with HDF5 alone
    image_path: Path | None = None  # None with HDF5 alone


class Records(Sequence[SpokenCaption]):
    """Captions packed into one block of bytes.

    Half a million of them as objects would take gigabytes, again in every loading process: reference counts make forked
    processes copy what they only read. ``folders`` are what the paths of sounds and images that :meth:`add` is given
    are relative to.
    """

    def __init__(self, captions: Iterable[SpokenCaption] = (), folders: tuple[str, str] = ("", "")) -> None:
        self.folders = folders
        self._bytes, self._ends = bytearray(), array("q", [0])
        for caption in captions:
            words = caption.alignment and [
                (float(start), float(end), str(word)) for start, end, word in caption.alignment
            ]
            sound, image = (path and str(path) for path in (caption.audio_path, caption.image_path))
            self.add((str(caption.uttid), str(caption.speaker), str(caption.text), words, sound, image))

    def add(self, fields: Fields) -> None:
        """Pack one more caption: the fields of :class:`SpokenCaption` in order, of Python's own types.

        Paths are text, and the alignment may be the text that :func:`parse_alignment` takes. Halves of characters in
        names and texts become U+FFFD; paths keep them, as names that are not in UTF-8 are read so.
        """
        packed = marshal.dumps(fields)
        if b"\xed" in packed:  # so begin halves of characters, which no file, page or console takes
            packed = marshal.dumps((*map(_writable, fields[:4]), *fields[4:]))
        self._bytes += packed
        self._ends.append(len(self._bytes))

    def fields(self, index: int) -> Fields:
        """Return what :meth:`add` was given; negative indices and slices are not offered."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        packed = memoryview(self._bytes)[self._ends[index] : self._ends[index + 1]]
        return marshal.loads(packed)  # noqa: S302  bytes that this very object packed

    def all_fields(self) -> Iterator[Fields]:
        """Yield what :meth:`add` was given, of every caption, in less time than one by one."""
        packed, start = memoryview(self._bytes), 0
        for end in self._ends[1:]:
            yield marshal.loads(packed[start:end])  # noqa: S302  as above
            start = end

    def paths(self) -> Iterator[list[str | None]]:
        """Yield the paths of sound and image of every caption, None for what it lacks."""
        for *_, sound, image in self.all_fields():
            yield [name and os.path.join(at, name) for at, name in zip(self.folders, (sound, image), strict=True)]  # noqa: PTH118

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> SpokenCaption:  # type: ignore[override]
        """Unpack one caption."""
        uttid, speaker, text, alignment, *names = self.fields(index)
        words = parse_alignment(alignment) if isinstance(alignment, str) else alignment
        sound, image = (name and Path(folder, name) for folder, name in zip(self.folders, names, strict=True))
        return SpokenCaption(uttid, speaker, text, words, sound, image)


def _writable(field: list[Word] | str | None) -> list[Word] | str | None:
    """Return a name, text or alignment without halves of characters."""
    if isinstance(field, list):
        return [(start, end, without_surrogates(word)) for start, end, word in field]
    return field and without_surrogates(field)


def rows_by_uttid(records: Sequence[SpokenCaption], source: Path, name: Callable[[str], str] = str) -> dict[str, int]:
    """Return the rows of a list, ``source``, by their uttid, for what names captions by it alone.

    ``name`` makes a uttid what must differ, such as the name of a file. A ManifestError names the uttids that stand for
    several rows, and these.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row in range(len(records)):
        rows[name(records[row].uttid)].append(row)
    shared = (f"uttid {uttid!r} stands for captions {found}" for uttid, found in rows.items() if len(found) > 1)
    report_problems(source, shared, "captions are found by their uttid here: give each its own")
    return {uttid: found[0] for uttid, found in rows.items()}


def check_words(value: Any, name: str, remedy: str) -> list[Word]:
    """Return the words or phones of a caption, as JSON gives them, with their times in seconds as floats.

    Raises ManifestError where they are no list of [start, end, text] with times as :func:`parse_alignment` wants them;
    ``name`` begins the message, ``remedy`` ends it.
    """
    if not isinstance(value, list):
        raise ManifestError(f"{name} is no list, expected [start, end, text] each; {remedy}")
    words = []
    for number, entry in enumerate(value):
        if isinstance(entry, list) and len(entry) == PARTS and isinstance(entry[2], str):
            start, end = map(_seconds, entry[:2])
            if 0 <= start <= end <= LATEST:  # NaN is not
                words.append((start, end, without_surrogates(entry[2])))
                continue
        raise ManifestError(
            f"{name}[{number}] is not [start, end, text] with finite times in seconds, from 0 on and the end "
            f"not before the start; {remedy}"
        )
    return words


def _seconds(value: Any) -> float:
    """Return a number of JSON as a float; NaN for what is none, and beyond the range of floats."""
    try:
        return float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        return math.nan


def check_alignment(text: str) -> str | None:
    """Return the first token that :func:`parse_alignment` would leave out, None without one; raise what it raises.

    Most texts are seen to be in order without parsing them.
    """
    if _plain(text):
        return None
    parse_alignment(text)
    return next((token for token in text.split() if len(token.split("__")) != PARTS), None)


def _plain(text: str) -> bool:
    """Return whether all tokens are start__WORD__end, with times that can be; quick, for millions of rows."""
    parts = text.replace("__", " ").split()
    try:
        starts, ends = list(map(float, parts[::PARTS])), list(map(float, parts[2::PARTS]))
    except ValueError:
        return False
    count = len(starts)
    if not len(parts) == PARTS * count == PARTS * len(text.split()) or text.count("__") != 2 * count:
        return False
    return not parts or (min(starts) >= 0 and max(ends) <= LATEST and all(map(operator.le, starts, ends)))


def parse_alignment(text: str) -> list[Word]:
    """Parse a text like "0.15__A__0.42 0.45__SMALL__0.72" into (start, end, word), times in seconds.

    Tokens of fewer or more parts are left out, as in the public code (``run_unit_analysis.py``). Raises ValueError
    where a start or end is no number, a start is below 0, an end before its start or after ``LATEST``.
    """
    words = []
    for token in text.split():
        parts = token.split("__")
        if len(parts) != PARTS:
            continue
        try:
            start, end = float(parts[0]), float(parts[2])
        except ValueError:
            start = end = math.nan
        if not 0 <= start <= end <= LATEST:  # NaN too
            raise ValueError(f"text_alignment holds {token[:60]!r}, {EXPECTED_TIMES}")
        words.append((start, end, parts[1]))
    return words
