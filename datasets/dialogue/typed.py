"""Instructions that people type, in the words of the data: lower case, without marks, unknown words left out."""

import string
from typing import NamedTuple, Protocol

from config.resolve import shortened
from datasets.dialogue.codraw_release import CHIT_CHAT
from datasets.dialogue.texts import TextReaderError
from datasets.dialogue.words import words_of

LONGEST = 1000  # characters
TELLER = "<teller>"


class Reader(Protocol):
    """What a reader of texts says about words."""

    longest: int  # words or pieces of an instruction that are read

    def knows(self, word: str) -> bool:
        """Return whether a word means more than an unknown one."""

    def count(self, text: str) -> int:
        """Return how many words or pieces a text has."""


class Typed(NamedTuple):
    """An instruction as the data would have it."""

    text: str
    unknown: list[str]  # words that were left out


def typed(text: str, corpus: str, reader: Reader) -> Typed:
    """Read what was typed for a dialogue of ``codraw`` or ``iclevr``.

    Raises TextReaderError where it has no word, no known word, or more than the reader takes.
    """
    if len(text) > LONGEST:
        raise TextReaderError(f"the instruction has {len(text)} characters, expected at most {LONGEST}")
    words = [word for word in words_of(text.lower()) if any(letter not in string.punctuation for letter in word)]
    if corpus == "codraw":
        words = [word for word in words if word not in CHIT_CHAT]
    if not words:
        raise TextReaderError(f"found no word in {shortened(text)}, expected an instruction such as 'add a red cube'")
    unknown = [word for word in words if not reader.knows(word)]
    known = " ".join(word for word in words if reader.knows(word))
    if not known:
        raise TextReaderError(f"no word of {shortened(text)} is known ({', '.join(unknown)}); say it in other words")
    told = f"{TELLER} {known}" if corpus == "codraw" else known
    if reader.count(told) > reader.longest:
        raise TextReaderError(
            f"the instruction has {reader.count(told)} words or parts of words, the text encoder reads "
            f"{reader.longest}: say it in several turns"
        )
    return Typed(told, unknown)
