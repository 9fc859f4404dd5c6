"""Typed instructions: in the words of the data, unknown words named, one sentence where there is nothing to read."""

import pytest

from datasets.dialogue.texts import TextReaderError, WordPieces, WordVectors
from datasets.dialogue.typed import typed

WORDS = ("add", "a", "red", "cube", "left", "of", "it", "ready")


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{word} {number} 0\n" for number, word in enumerate((*WORDS, "unk"))))
    return WordVectors(path, max_words=6)


def test_marks_and_capitals_go_and_unknown_words_are_named(vectors):
    assert typed('Add a RED cube, "please"!', "iclevr", vectors) == ("add a red cube", ["please"])
    assert typed("ok, add a cube.", "codraw", vectors) == ("<teller> add a cube", [])


def test_pieces_know_what_they_can_put_together(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(("[CLS]", "[SEP]", "[PAD]", "[UNK]", "add", "cube", "##s")))
    reader = WordPieces(tmp_path, max_tokens=8)
    assert typed("add cubes, spheres", "iclevr", reader) == ("add cubes", ["spheres"])
    assert (reader.count("add cubes"), reader.longest) == (3, 5)
    with pytest.raises(TextReaderError, match="6 words or parts of words, the text encoder reads 5"):
        typed("cubes cubes cubes", "iclevr", reader)


@pytest.mark.parametrize(
    ("text", "corpus", "sentence"),
    [
        ("", "iclevr", "found no word in ''"),
        (" ?! ...", "iclevr", "found no word in ' "),
        ("ok thanks", "codraw", "found no word in 'ok thanks'"),
        ("draw <elephants>", "iclevr", r"no word of 'draw <elephants>' is known \(draw, elephants\)"),
        ("add " * 7, "iclevr", "has 7 words or parts of words, the text encoder reads 6: say it in several turns"),
        ("add " * 6, "codraw", "has 7 words or parts of words, the text encoder reads 6"),  # <teller> is one
        ("x" * 1001, "iclevr", "has 1001 characters, expected at most 1000"),
    ],
)
def test_what_cannot_be_read(vectors, text, corpus, sentence):
    with pytest.raises(TextReaderError, match=sentence):
        typed(text, corpus, vectors)
