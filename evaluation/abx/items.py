"""Item files of the ABX phone discrimination test: which stretches of which utterances are compared.

The layout is ZeroSpeech's (its 2017 to 2021 challenges, and fastabx): a header line and one item a line, separated by
single spaces: ``#file onset offset #phone prev-phone next-phone speaker``. Times are seconds from the start of the
file, which is named without folder and ending. In ZeroSpeech's triphone files an item is a phone together with both of
its neighbours, so that neighbouring items overlap; such are made here from phone alignments, too.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal, NamedTuple
from unicodedata import normalize

from common.errors import UserError
from common.files import written_whole
from common.text_files import TextError, read_text

COLUMNS = ("#file", "onset", "offset", "#phone", "prev-phone", "next-phone", "speaker")
GAP = 0.001  # seconds; phones further apart are no neighbours
TICK = Decimal("0.0001")
Span = Literal["triphone", "phone"]


class AbxError(UserError):
    """An item file or features that cannot be compared, or a machine that cannot compare them."""


class Item(NamedTuple):
    """One stretch of speech."""

    file: str  # the utterance's name; of an item file in Unicode's composed form, NFC
    onset: Decimal  # start in seconds
    offset: Decimal  # end in seconds
    phone: str  # to be distinguished
    previous: str  # the phone before it
    following: str  # the phone behind it
    speaker: str  # who speaks


@dataclass(frozen=True)
class Items:
    """An item file as read."""

    path: Path  # for messages
    rows: list[Item]  # in the file's order
    lines: list[int]  # the number of each item's line, from 1

    def check(self, seconds: Mapping[str, float], source: str) -> None:
        """Raise AbxError if an item names no utterance, or ends behind its end, which ``seconds`` says by name."""
        unknown = {item.file for item in self.rows} - seconds.keys()
        for item, line in zip(self.rows, self.lines, strict=True):
            if item.file in unknown:
                raise AbxError(
                    f"{self.path}, line {line}: found the file {item.file!r}, which {source} lacks (as it does "
                    f"{len(unknown)} of {len({item.file for item in self.rows})} files that the items name); expected "
                    "names of utterances without folder and ending"
                )
            if float(item.offset) > seconds[item.file] + 1e-6:
                raise AbxError(
                    f"{self.path}, line {line}: found an item from {item.onset} to {item.offset} s, but "
                    f"{item.file} is only {seconds[item.file]:.2f} s long; correct the times, or give whole recordings"
                )


def read_items(path: Path) -> Items:
    """Read an item file, whose columns may come in any order, and check every line; further columns are left aside.

    Raises:
        AbxError: there is no such file, its header is another, it holds no items, or a line cannot be used: the first
            is reported with its number, the others are counted.
    """
    try:
        lines = read_text(path).split("\n")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AbxError(f"There is no item file {path}; give one of ZeroSpeech, or write one of a world") from error
    except TextError as error:
        raise AbxError(f"{error} (expected an item file)") from error
    header = lines[0].split()
    if missing := [name for name in COLUMNS if name not in header]:
        raise AbxError(f"{path}, line 1: found no column {missing[0]}; expected the header {' '.join(COLUMNS)}")
    positions = [header.index(name) for name in COLUMNS]
    rows, numbers, errors = [], [], []
    for number, line in enumerate(lines[1:], 2):
        fields = line.split()
        if not fields:
            continue
        item = _item(fields, positions) if len(fields) == len(header) else None
        if isinstance(item, Item):
            rows.append(item)
            numbers.append(number)
        else:
            counted = f"found {len(fields)} fields, expected the {len(header)} of the header"
            errors.append(f"line {number}: {item or counted}")
    if errors:
        more = f" (and {len(errors) - 1} more such lines)" if len(errors) > 1 else ""
        raise AbxError(f"{path}, {errors[0]}{more}; correct or remove it")
    if not rows:
        raise AbxError(f"{path} holds no items, only a header; expected a line for each stretch of speech to compare")
    return Items(path, rows, numbers)


def _item(fields: Sequence[str], positions: Sequence[int]) -> Item | str:
    """Return the item of a line, or what is wrong with it."""
    file, start, end, *names = (sys.intern(fields[position]) for position in positions)
    try:
        onset, offset = Decimal(start), Decimal(end)
    except InvalidOperation:
        return f"found the times {start} and {end}, expected numbers of seconds"
    if not (onset.is_finite() and offset.is_finite()) or onset < 0:
        return f"found the times {start} and {end}, expected numbers of seconds from 0 on"
    if onset >= offset:
        return f"found an onset of {start} s and an offset of {end} s, expected the onset before the offset"
    return Item(normalize("NFC", file), onset, offset, *names)


def write_items(path: Path, items: Iterable[Item]) -> int:
    """Write an item file, whole or not at all, and return how many items there are; times to a tenth of a millisecond.

    Raises AbxError where a name holds a space, which separates the columns.
    """
    count = 0
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(" ".join(COLUMNS) + "\n")
        for item in items:
            names = (item.file, item.phone, item.previous, item.following, item.speaker)
            if bad := next((name for name in names if not name or name.split() != [name]), None):
                raise AbxError(f"found the name {bad!r} in {item.file!r}; an item file needs names without spaces")
            name, onset, offset, *rest = item
            file.write(" ".join((name, f"{onset:.4f}", f"{offset:.4f}", *rest)) + "\n")
            count += 1
    return count


def phone_items(
    file: str,
    speaker: str,
    phones: Sequence[tuple[float, float, str]],
    span: Span = "triphone",
    silences: frozenset[str] = frozenset({"sil"}),
) -> Iterator[Item]:
    """Yield an item for each phone of an utterance that has a phone before and behind it, in order.

    A phone at the start or the end of the utterance, beside a pause, or beside a gap of more than a millisecond makes
    none, nor does a pause itself: its context is unknown. Times are rounded down to a tenth of a millisecond, so that
    none passes the end.

    Args:
        file: name of the utterance.
        speaker: of the utterance.
        phones: (start, end, phone) in seconds, in order.
        span: ``triphone``: an item reaches from the start of the phone before to the end of the phone behind, as in
            ZeroSpeech's triphone files; ``phone``: it is the phone alone.
        silences: names of pauses.
    """
    for before, phone, behind in zip(phones, phones[1:], phones[2:], strict=False):
        if silences & {before[2], phone[2], behind[2]}:
            continue
        if phone[0] - before[1] > GAP or behind[0] - phone[1] > GAP:
            continue
        first, last = (before, behind) if span == "triphone" else (phone, phone)
        onset, offset = _down(first[0]), _down(last[1])
        if onset < offset:
            yield Item(file, onset, offset, phone[2], before[2], behind[2], speaker)


def _down(seconds: float) -> Decimal:
    return Decimal(seconds) // TICK * TICK
