"""Words of English annotations: spelling corrected, then each word in its basic form, as published.

schwettmann/visual-vocab corrects by pyspellchecker and takes lemmas by NLTK, whose data are fetched; here simplemma,
which brings its own, gives them.
"""

import functools
from collections.abc import Sequence

from common.errors import UserError
from gan.directions.distillation import words_of

EXTRA = "requirements-language.txt"


class WordsError(UserError):
    """A program that is missing for correcting words."""


class EnglishWords:
    """Split a text into words, corrected and in their basic form; called with a text.

    Args:
        spelling: correct words that a dictionary of English lacks, by the most frequent word one letter away; those
            without any such word stay.
        lemmas: take the basic form: "trees" is "tree", "reddest" is "red".
        keep: words that stay as they are.

    Raises:
        WordsError: the programs of requirements-language.txt are not installed.
    """

    def __init__(self, spelling: bool = True, lemmas: bool = True, keep: Sequence[str] = ()) -> None:
        self.spelling, self.lemmas, self.keep = spelling, lemmas, frozenset(map(str.lower, keep))
        try:
            self._checker = _spell_checker() if spelling else None
            self._lemma = _lemmatizer() if lemmas else None
        except ImportError as error:
            raise WordsError(
                f"words are corrected by {error.name}, which cannot be imported ({error}): pip install -r {EXTRA}; "
                "or set spelling and lemmas to false"
            ) from error
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> list[str]:
        """Return the words in small letters, in their order."""
        return [self._word(word) for word in words_of(text)]

    def _word(self, word: str) -> str:
        if word in self.keep:
            return word
        if word not in self._known:
            corrected = word
            if self._checker is not None:
                corrected = self._checker.correction(word) or word
            self._known[word] = self._lemma(corrected) if self._lemma is not None else corrected
        return self._known[word]


@functools.cache
def _spell_checker() -> object:
    from spellchecker import SpellChecker  # reads its dictionary for a third of a second

    return SpellChecker(language="en", distance=1)


@functools.cache
def _lemmatizer() -> object:
    import simplemma

    return lambda word: simplemma.lemmatize(word, lang="en").lower()
