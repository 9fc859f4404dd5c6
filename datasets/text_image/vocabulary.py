"""Words of written captions as numbers, as taoxugit/AttnGAN counts them: 0 is the padding, unknown words are dropped.

datasets/spoken_captions/vocabulary.py is the other way, of surisdi/learning-by-drawing: words in alphabetical order,
with an unknown word.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from common.errors import UserError
from common.parallel import locked
from common.text_files import TextError, read_text
from datasets.media_files import write_json

log = logging.getLogger(__name__)

PADDING = "<end>"
WORD = re.compile(r"\w+")
BROKEN = "\ufffd\ufffd"  # what is left of a mark that was decoded wrongly


class VocabularyError(UserError, ValueError):
    """Words that make no vocabulary, or a caption without known words."""


def words(caption: str) -> list[str]:
    """Split a caption as published: lower case, runs of word characters, letters outside ASCII left out of them."""
    found = WORD.findall(caption.replace(BROKEN, " ").lower())
    plain = (word.encode("ascii", "ignore").decode() for word in found)
    return [word for word in plain if word]


class Vocabulary:
    """Words and their numbers; ``known`` are those of 1, 2, 3 ..., ``words`` all, the padding first.

    Raises VocabularyError where there are none, or one is there twice.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self.words = [PADDING, *known]
        self._numbers = {word: number for number, word in enumerate(self.words)}
        if len(self.words) < 2 or len(self._numbers) != len(self.words):
            raise VocabularyError(
                f"found {len(known)} words, {len(self._numbers) - 1} of them different; expected each once"
            )

    @classmethod
    def of(cls, captions: Iterable[str]) -> "Vocabulary":
        """Number the words of captions in the order in which they come first."""
        return cls(list(dict.fromkeys(word for caption in captions for word in words(caption))))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def numbers(self, found: Iterable[str]) -> list[int]:
        """Return the numbers, from 1 on, of the known ones among some words, which may be none."""
        return [self._numbers[word] for word in found if word in self._numbers]

    def encode(self, caption: str) -> list[int]:
        """Return the numbers, from 1 on, of a caption's known words; raise VocabularyError where none is known."""
        numbers = self.numbers(words(caption))
        if not numbers:
            raise VocabularyError(
                f"no word of {caption!r} is among the {len(self) - 1} that the model knows, such as "
                f"{', '.join(self.words[1:6])}; use some of them"
            )
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the words of ``numbers``, without padding."""
        return " ".join(self.words[number] for number in numbers if number)


def kept_vocabulary(path: Path, make: Callable[[], Vocabulary]) -> Vocabulary:
    """Read a vocabulary file, or make the vocabulary and write the file; of several processes one makes it.

    Raises VocabularyError for a file that holds no list of words.
    """
    if path.exists():
        return read_vocabulary_file(path)
    try:
        with locked(path.with_name(f".{path.name}.lock")):
            if path.exists():
                return read_vocabulary_file(path)
            made = make()
            write_vocabulary_file(path, made)
    except OSError as error:
        log.warning("%s cannot be written (%s): its words are numbered anew each time", path, error.strerror or error)
        return make()
    log.info("%s holds the %d words of the training captions", path, len(made) - 1)
    return made


def write_vocabulary_file(path: Path, vocabulary: Vocabulary) -> None:
    """Write the words in the order of their numbers, from 1 on, as a JSON list."""
    write_json(path, vocabulary.words[1:])


def read_vocabulary_file(path: Path) -> Vocabulary:
    """Read a JSON list of words; raise VocabularyError where it is another thing."""
    remedy = "correct it, or delete it: it is made anew of the training captions"
    try:
        found = json.loads(read_text(path))
    except TextError as error:
        raise VocabularyError(f"{error} ({remedy})") from error
    except OSError as error:
        raise VocabularyError(f"{path} cannot be read ({error.strerror or error}); expected a list of words") from error
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{path} is not JSON ({error}), expected a list of words; {remedy}") from error
    if not isinstance(found, list):
        raise VocabularyError(f"{path} holds no list of words but a {type(found).__name__}; {remedy}")
    wrong = next((word for word in found if not isinstance(word, str) or words(word) != [word]), None)
    if wrong is not None:
        raise VocabularyError(
            f"{path} holds {str(wrong)[:60]!r}, expected single words in lower case, of the letters a to z and digits; "
            f"{remedy}"
        )
    try:
        return Vocabulary(found)
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}; {remedy}") from error
