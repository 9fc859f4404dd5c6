"""Captions as word indices."""

import pytest

from common.errors import UserError
from datasets.spoken_captions.vocabulary import Vocabulary, words


def test_words_drop_case_and_punctuation():
    assert words("There's a RED cube, left-of it.") == ["there's", "a", "red", "cube", "left", "of", "it"]


def test_unknown_and_padding():
    vocabulary = Vocabulary(["a red cube", "a ball"])
    assert len(vocabulary) == 2 + 4
    tokens, lengths = vocabulary.encode(["a cube", "ball", "", "green ball cube"])
    assert lengths.tolist() == [2, 1, 1, 3]
    assert tokens.tolist() == [[2, 4, 0], [3, 0, 0], [1, 0, 0], [1, 3, 4]]


def test_captions_without_words():
    with pytest.raises(UserError, match="hold no words"):
        Vocabulary(["", "..."])
