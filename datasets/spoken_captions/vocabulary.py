"""Written captions as word indices, for the text encoders."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from common.errors import UserError

PADDING, UNKNOWN = 0, 1
WORD = re.compile(r"\w+(?:'\w+)?")


def words(text: str) -> list[str]:
    """Return the lower-case words of the caption ``text``, without punctuation."""
    return WORD.findall(text.lower())


class Vocabulary:
    """The words of the captions ``texts``, in alphabetical order after the padding and the unknown word.

    Raises UserError where they hold no word.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        known = sorted({word for text in texts for word in words(text)})
        if not known:
            raise UserError("the training captions hold no words; a text encoder needs asr_text in the manifest")
        self.index = {word: number for number, word in enumerate(known, start=UNKNOWN + 1)}

    def __len__(self) -> int:
        return len(self.index) + UNKNOWN + 1

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return word indices (B, L) int64 of B captions, padded with 0, and their word counts (B,), at least 1."""
        rows = [[self.index.get(word, UNKNOWN) for word in words(text)] or [UNKNOWN] for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        tokens = torch.full((len(rows), int(lengths.max())), PADDING)
        for target, row in zip(tokens, rows, strict=True):
            target[: len(row)] = torch.tensor(row)
        return tokens, lengths
