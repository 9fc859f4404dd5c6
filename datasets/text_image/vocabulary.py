"""Words of written captions as numbers, as taoxugit/AttnGAN counts them: 0 is the padding, unknown words are dropped.

datasets/spoken_captions/vocabulary.py is the other way, of surisdi/learning-by-drawing: words in alphabetical order,
with an unknown word.
"""

import re
from collections.abc import Iterable, Sequence

from common.errors import UserError

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

    def encode(self, caption: str) -> list[int]:
        """Return the numbers, from 1 on, of a caption's known words; raise VocabularyError where none is known."""
        numbers = [self._numbers[word] for word in words(caption) if word in self._numbers]
        if not numbers:
            raise VocabularyError(
                f"no word of {caption!r} is among the {len(self) - 1} that the model knows, such as "
                f"{', '.join(self.words[1:6])}; use some of them"
            )
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the words of ``numbers``, without padding."""
        return " ".join(self.words[number] for number in numbers if number)
