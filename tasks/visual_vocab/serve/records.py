"""What people write about pairs of images: a CSV in the published columns that only grows, a line at a time."""

import csv
import io
import threading
from collections import defaultdict
from pathlib import Path

from common.disk_space import needs_room
from common.errors import UserError
from common.files import put_on_disk, write_whole
from common.text_files import without_surrogates
from published.visual_vocab.data_sets import VocabularyError, read_annotations

HEAD = ("d_id", "annotation", "annotator")
MOST = 100_000  # lines of a file


class RecordsError(UserError, ValueError):
    """An annotation that cannot be kept."""


class Records:
    """Keep annotations in a file and know which pair is to be shown next.

    Args:
        path: of the CSV; one that is there is gone on with.
        number: of pairs.

    Raises:
        VocabularyError: the file is there and is no CSV of annotations of these pairs.
    """

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self._lock = threading.Lock()
        self._done: dict[str, set[int]] = defaultdict(set)
        self._counts = [0] * number
        self._skipped: dict[str, dict[int, None]] = defaultdict(dict)  # in the order of skipping
        if path.is_file() and path.stat().st_size > len(_line(HEAD)):
            self._read()
        else:
            write_whole(path, _line(HEAD))

    def __len__(self) -> int:
        return sum(self._counts)

    def of(self, annotator: str) -> int:
        """Return how many pairs an annotator has written about."""
        return len(self._done.get(annotator, ()))

    def next(self, annotator: str) -> int | None:
        """Return the pair of the fewest texts that this annotator has not seen; skipped ones last, None at the end."""
        with self._lock:
            done, skipped = self._done.get(annotator, set()), self._skipped.get(annotator, {})
            open_ = [row for row in range(self.number) if row not in done]
            if not open_:
                return None
            later = {row: position for position, row in enumerate(skipped, start=1)}
            return min(open_, key=lambda row: (later.get(row, 0), self._counts[row], row))

    def skip(self, row: int, annotator: str) -> None:
        """Show a pair to this annotator after all others."""
        with self._lock:
            skipped = self._skipped[annotator]
            skipped.pop(row, None)
            skipped[row] = None

    def add(self, row: int, text: str, annotator: str) -> None:
        """Write a text about a pair, on disk before this returns; line ends within it become spaces.

        Raises RecordsError where it is empty, the annotator has written about the pair before, or the file is full.
        """
        text, annotator = (" ".join(without_surrogates(part).split()) for part in (text, annotator))
        if not text or not annotator:
            raise RecordsError("found no text or no name; write what changes, and your name")
        with self._lock:
            if row in self._done[annotator]:
                raise RecordsError(f"{annotator} has written about pair {row} before; go on with the next one")
            if sum(self._counts) >= MOST:
                raise RecordsError(f"{self.path.name} holds {MOST} annotations and takes no more; begin another file")
            with needs_room(self.path.parent), self.path.open("ab") as file:
                file.write(_line((str(row), text, annotator)))
                file.flush()
                put_on_disk(file.fileno(), self.path)
            self._count(row, annotator)

    def _count(self, row: int, annotator: str) -> None:
        self._done[annotator].add(row)
        self._counts[row] += 1

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a full disk or a kill may leave half a line
        if whole != content:
            write_whole(self.path, whole)
        if len(whole) <= len(_line(HEAD)):
            return
        found = read_annotations(self.path, self.number)
        for row, every in found.items():
            for one in every:
                if not one.annotator:
                    raise VocabularyError(f"{self.path}: d_id {row} has no annotator; expected {', '.join(HEAD)}")
                self._count(row, one.annotator)


def _line(values: tuple[str, ...]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
