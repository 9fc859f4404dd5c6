"""Readers of texts: what was said before and the instruction, as tensors of fixed sizes that an encoder takes.

Shape letters: P words said before, S words of an instruction, V size of a word vector, L tokens.
"""

import json
import logging
import unicodedata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from common.text_files import TextError, read_text
from config.limits import Count

log = logging.getLogger(__name__)
UNKNOWN = "unk"  # GloVe's vector for words that it does not know
FIRST, LAST, PADDING, UNKNOWN_PIECE = "[CLS]", "[SEP]", "[PAD]", "[UNK]"
LONGEST_WORD = 100  # letters; BERT knows no longer one
CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


class TextReaderError(UserError, ValueError):
    """A vocabulary that cannot be read, or a text that holds what it does not know."""


class WordVectors:
    """Word vectors of GloVe's text format, "word v1 ... vV" a line: ``glove_codraw_iclevr.txt`` of GeNeVA's data.

    A text gives ``previous_vectors`` (P, V) and ``nprevious`` of what was said before, its last words, and ``vectors``
    (S, V) and ``nvectors`` of the instruction, its first words.

    Args:
        path: of the file.
        max_words: S.
        max_previous: P.

    Attributes:
        table: (words, V) float32.
        word_dim: V.

    Raises:
        TextReaderError: the file is missing or of another format.
    """

    names = ("previous_vectors", "nprevious", "vectors", "nvectors")

    def __init__(self, path: Path, max_words: Count = 60, max_previous: Count = 400) -> None:
        self.path, self.max_words, self.max_previous = Path(path), max_words, max_previous
        try:
            lines = read_text(self.path).splitlines()
        except (FileNotFoundError, TextError) as error:
            raise TextReaderError(f"{path} cannot be read ({error}): expected word vectors, a word a line") from error
        self._rows: dict[str, int] = {}
        vectors = []
        for number, line in enumerate(filter(None, lines), start=1):
            word, *values = line.split()
            try:
                vectors.append([float(value) for value in values])
            except ValueError as error:
                raise TextReaderError(f"{path}, line {number}: {error}; expected a word and its numbers") from error
            if len(vectors[-1]) != len(vectors[0]) or not values:
                raise TextReaderError(
                    f"{path}, line {number}: {len(values)} numbers, expected {len(vectors[0])} as in the first line"
                )
            self._rows[word] = len(vectors) - 1
        if not vectors:
            raise TextReaderError(f"{path} holds no word vector")
        self.table = torch.tensor(vectors, dtype=torch.float32)
        self.word_dim = self.table.shape[1]

    @classmethod
    def of_table(cls, words: list[str], table: Tensor, max_words: int, max_previous: int, path: Path) -> "WordVectors":
        """Return a reader of words and their vectors (words, V), which ``path`` holds; TextReaderError for others."""
        if table.dim() != 2 or len(table) != len(words) or not len(words) or min(max_words, max_previous) < 1:
            raise TextReaderError(f"{path} holds {len(words)} words and vectors {tuple(table.shape)}, expected (n, V)")
        reader = cls.__new__(cls)
        reader.path, reader.max_words, reader.max_previous = Path(path), max_words, max_previous
        reader._rows = {str(word): row for row, word in enumerate(words)}
        reader.table, reader.word_dim = table.float(), table.shape[1]
        return reader

    def __call__(self, history: str, text: str) -> dict[str, Tensor]:
        """Read what was said before, and an instruction.

        Raises TextReaderError for a word without a vector, where the file has none for unknown words either.
        """
        previous, words = history.split()[-self.max_previous :], text.split()[: self.max_words]
        return {
            "previous_vectors": self._padded(previous, self.max_previous),
            "nprevious": torch.tensor(len(previous)),
            "vectors": self._padded(words, self.max_words),
            "nvectors": torch.tensor(len(words)),
        }

    def contents(self) -> list[bytes | str]:
        """Return what is digested of it: sizes, words and vectors."""
        words = json.dumps([self.max_words, self.max_previous, *self._rows])
        return [words, self.table.numpy().tobytes()]

    @property
    def longest(self) -> int:
        """Words of an instruction that are read."""
        return self.max_words

    @property
    def words(self) -> list[str]:
        """The words that have a vector."""
        return list(self._rows)

    def knows(self, word: str) -> bool:
        """Return whether a word has a vector of its own."""
        return word in self._rows or word.lower() in self._rows

    def count(self, text: str) -> int:
        """Return the number of words."""
        return len(text.split())

    def _padded(self, words: list[str], count: int) -> Tensor:
        padded = torch.zeros(count, self.word_dim)
        if words:
            padded[: len(words)] = self.table[[self._row(word) for word in words]]
        return padded

    def _row(self, word: str) -> int:
        found = self._rows.get(word, self._rows.get(word.lower(), self._rows.get(UNKNOWN)))
        if found is None:
            raise TextReaderError(
                f"{self.path} has no vector of {word!r}, and none of {UNKNOWN!r} for words that it lacks; make it "
                "of the words of these dialogues"
            )
        return found


class WordPieces:
    """BERT's tokens of both texts: ``[CLS] said before [SEP] instruction [SEP]``, lower case, cut into known pieces.

    A text gives ``tokens``, ``mask`` and ``types`` (L,) int64. Where both are too long together, what was said first is
    left out; the public code cuts the end of the longer one.

    Args:
        folder: with ``vocab.txt``, as of ``bert-base-uncased``.
        max_tokens: L.

    Raises:
        TextReaderError: there is no vocabulary, or it lacks BERT's own tokens.
    """

    names = ("tokens", "mask", "types")

    def __init__(self, folder: Path, max_tokens: Count = 256) -> None:
        self.path, self.max_tokens = Path(folder) / "vocab.txt", max_tokens
        try:
            lines = read_text(self.path).splitlines()
        except (FileNotFoundError, TextError) as error:
            raise TextReaderError(f"{self.path} cannot be read ({error}): give the folder of a BERT") from error
        self._rows = {piece: row for row, piece in enumerate(lines)}
        lacking = [piece for piece in (FIRST, LAST, PADDING, UNKNOWN_PIECE) if piece not in self._rows]
        if lacking:
            raise TextReaderError(f"{self.path} lacks {', '.join(lacking)}: it is no vocabulary of BERT")
        self.vocab_size = len(self._rows)

    def __call__(self, history: str, text: str) -> dict[str, Tensor]:
        """Read what was said before, and an instruction."""
        first, second = self.pieces(history), self.pieces(text)[: self.longest]
        room = self.longest - len(second)
        first = first[max(len(first) - room, 0) :]
        tokens = [FIRST, *first, LAST, *second, LAST]
        rows = [self._rows[token] for token in tokens] + [self._rows[PADDING]] * (self.max_tokens - len(tokens))
        types = np.zeros(self.max_tokens, np.int64)
        types[len(first) + 2 : len(tokens)] = 1
        mask = np.zeros(self.max_tokens, np.int64)
        mask[: len(tokens)] = 1
        return {"tokens": torch.tensor(rows), "mask": torch.from_numpy(mask), "types": torch.from_numpy(types)}

    def contents(self) -> list[bytes | str]:
        """Return what is digested of it: its size and pieces."""
        return [json.dumps([self.max_tokens, *self._rows])]

    @property
    def longest(self) -> int:
        """Pieces of an instruction that are read."""
        return self.max_tokens - 3

    def knows(self, word: str) -> bool:
        """Return whether a word can be put together of known pieces."""
        return UNKNOWN_PIECE not in self.pieces(word)

    def count(self, text: str) -> int:
        """Return the number of pieces."""
        return len(self.pieces(text))

    def pieces(self, text: str) -> list[str]:
        """Cut a text into known pieces; those inside a word begin with ``##``."""
        return [piece for word in _basic_words(text) for piece in self._word(word)]

    def _word(self, word: str) -> list[str]:
        found: list[str] = []
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            prefix = "##" if start else ""
            end = next((end for end in ends if prefix + word[start:end] in self._rows), None)
            if end is None or len(word) > LONGEST_WORD:
                return [UNKNOWN_PIECE]
            found.append(prefix + word[start:end])
            start = end
        return found


def _basic_words(text: str) -> list[str]:
    """Return lower-case words without accents; each mark and each Chinese character stands alone."""
    plain = unicodedata.normalize("NFD", text.lower())
    spaced = "".join(
        f" {letter} " if _stands_alone(letter) else " " if letter.isspace() else letter
        for letter in plain
        if unicodedata.category(letter) != "Mn" and (letter.isspace() or unicodedata.category(letter)[0] != "C")
    )
    return spaced.split()


def _stands_alone(letter: str) -> bool:
    code = ord(letter)
    marks = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return marks or unicodedata.category(letter).startswith("P") or any(a <= code <= b for a, b in CJK)
