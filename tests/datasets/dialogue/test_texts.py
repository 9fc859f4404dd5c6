"""Readers of texts: vectors and tokens of what was said before and of the instruction, by hand."""

import pytest
import torch

from datasets.dialogue.dataset import Dialogues, Turns
from datasets.dialogue.texts import TextReaderError, WordPieces, WordVectors

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "add",
    "a",
    "cube",
    "##s",
    "red",
    "##dish",
    ",",
    "play",
    "##ing",
    "<",
    ">",
]


@pytest.fixture
def bert(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return tmp_path


def test_published_vectors_read_every_dialogue(assets):
    formats = assets / "formats"
    reader = WordVectors(formats / "glove_codraw_iclevr.txt", max_words=12, max_previous=20)
    assert reader.word_dim == 300
    turns = Turns(formats / "codraw" / "codraw_train.h5", train=False, texts=reader)
    found = turns[1]
    assert found["previous_vectors"].shape == (20, 300)
    assert found["vectors"].shape == (12, 300)
    history, text = turns.text(1)
    assert (found["nprevious"], found["nvectors"]) == (min(len(history.split()), 20), min(len(text.split()), 12))
    teller = found["vectors"][text.split().index("<teller>")]
    assert teller.tolist() == pytest.approx([0.0] * 150 + [0.1] * 150)
    assert not found["vectors"][found["nvectors"] :].any()
    whole = Dialogues(formats / "codraw" / "codraw_train.h5", train=False, texts=reader)[0]
    assert torch.equal(whole["vectors"][1], found["vectors"])
    assert whole["nprevious"].shape == (whole["images"].shape[0],)


def test_the_latest_history_and_the_first_words_are_kept(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"w{number} {number}.0\n" for number in range(6)))
    found = WordVectors(path, max_words=2, max_previous=3)("w1 w2 w3 w4", "w5 w0 w1")
    assert found["previous_vectors"].flatten().tolist() == [2, 3, 4]
    assert found["vectors"].flatten().tolist() == [5, 0]


def test_words_without_a_vector(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("add 1.0 2.0\n")
    with pytest.raises(TextReaderError, match="has no vector of 'cube', and none of 'unk'"):
        WordVectors(path)("", "add cube")
    path.write_text("add 1.0 2.0\nunk 3.0 4.0\n")
    assert WordVectors(path, max_words=3)("", "Add cube")["vectors"].tolist() == [[1, 2], [3, 4], [0, 0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no word vector"),
        ("add 1.0\ncube 1.0 2.0\n", "line 2: 2 numbers, expected 1"),
        ("add\n", "line 1: 0 numbers"),
        ("add one\n", "line 1: could not convert"),
    ],
)
def test_files_of_another_format(tmp_path, content, message):
    (tmp_path / "vectors.txt").write_text(content)
    with pytest.raises(TextReaderError, match=message):
        WordVectors(tmp_path / "vectors.txt")
    with pytest.raises(TextReaderError, match="cannot be read"):
        WordVectors(tmp_path / "none.txt")


def test_pieces_by_hand(bert):
    reader = WordPieces(bert)
    assert reader.pieces("Add a reddish CUBE, <playing>") == [
        "add",
        "a",
        "red",
        "##dish",
        "cube",
        ",",
        "<",
        "play",
        "##ing",
        ">",
    ]
    assert reader.pieces("cubés zebra") == ["cube", "##s", "[UNK]"]
    assert reader.pieces("a" * 101) == ["[UNK]"]
    assert reader.pieces("") == []


def test_tokens_of_both_texts(bert):
    found = WordPieces(bert, max_tokens=9)("add a cube", "a red cube")
    assert [PIECES[row] for row in found["tokens"]] == [
        "[CLS]",
        "add",
        "a",
        "cube",
        "[SEP]",
        "a",
        "red",
        "cube",
        "[SEP]",
    ]
    assert found["types"].tolist() == [0] * 5 + [1] * 4
    found = WordPieces(bert, max_tokens=7)("add a cube", "a red")
    assert [PIECES[row] for row in found["tokens"]] == ["[CLS]", "a", "cube", "[SEP]", "a", "red", "[SEP]"]
    found = WordPieces(bert, max_tokens=12)("add", "a")
    assert found["mask"].tolist() == [1] * 5 + [0] * 7
    assert found["types"].tolist() == [0, 0, 0, 1, 1] + [0] * 7
    assert found["tokens"].tolist()[5:] == [0] * 7


def test_folders_without_a_vocabulary(tmp_path):
    with pytest.raises(TextReaderError, match=r"vocab.txt cannot be read .*give the folder of a BERT"):
        WordPieces(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(TextReaderError, match=r"lacks \[CLS\], \[SEP\]: it is no vocabulary of BERT"):
        WordPieces(tmp_path)
