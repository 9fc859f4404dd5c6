"""What is known of a spoken caption besides its picture and sound, for many of them in little memory."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

Word = tuple[float, float, str]


@dataclass(frozen=True)
class SpokenCaption:
    """One row of a list of spoken captions.

    Args:
        uttid: Name of the utterance, unique by convention.
        speaker: Name of the speaker, "" when unknown.
        text: What is said, "" when unknown.
        alignment: (start, end, word) in seconds, None when unknown.
        audio_path: Sound file, None with HDF5 alone.
        image_path: Picture file, None with HDF5 alone.
    """

    uttid: str
    speaker: str = ""
    text: str = ""
    alignment: list[Word] | None = None
    audio_path: Path | None = None
    image_path: Path | None = None


class Records(Sequence[SpokenCaption]):
    """Captions packed into one block of bytes.

    Half a million of them as objects would take gigabytes, again in every loading process: reference counts make
    forked processes copy what they only read.

    Args:
        captions: What to pack.
    """

    def __init__(self, captions: Iterable[SpokenCaption]) -> None:
        packed = [json.dumps(astuple(caption), default=str).encode() for caption in captions]
        self._bytes = b"".join(packed)
        self._ends = np.cumsum([0, *map(len, packed)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> SpokenCaption:  # type: ignore[override]
        """Unpacks one caption; negative indices and slices are not offered."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        packed = self._bytes[self._ends[index] : self._ends[index + 1]]
        uttid, speaker, text, alignment, audio, image = json.loads(packed)
        words = None if alignment is None else [(start, end, word) for start, end, word in alignment]
        return SpokenCaption(uttid, speaker, text, words, audio and Path(audio), image and Path(image))


def parse_alignment(text: str) -> list[Word]:
    """Parses ``text_alignment``: "start__WORD__end" tokens, separated by spaces.

    Args:
        text: For instance "0.15__A__0.42 0.45__SMALL__0.72".

    Returns:
        (start, end, word) in seconds.

    Raises:
        ValueError: A token has another form.
    """
    words = []
    for token in text.split():
        start, *word = token.split("__")
        end = word.pop() if word else ""
        try:
            words.append((float(start), float(end), "__".join(word)))
        except ValueError:
            word = []
        if not word:
            raise ValueError(f"text_alignment holds {token!r}, expected start__WORD__end tokens in seconds")
    return words
