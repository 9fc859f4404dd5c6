"""Readers of instructions: one that fits its encoder, and what tells two of them apart."""

from types import SimpleNamespace

import pytest

from common.errors import UserError
from datasets.dialogue.readers import check_fits, reader_digest
from datasets.dialogue.texts import WordPieces, WordVectors


def test_a_reader_for_another_encoder():
    reader = SimpleNamespace(names=("tokens", "mask"))
    check_fits(reader, ["tokens", "mask"])
    with pytest.raises(UserError, match=r"^texts has a reader that makes tokens, mask, the encoder takes words: give"):
        check_fits(reader, ["words"])
    with pytest.raises(UserError, match=r"^data\.train has no reader of texts, the encoder takes words: give one"):
        check_fits(None, ["words"], "data.train")


def test_settings_and_contents_of_a_reader_count(tmp_path):
    (tmp_path / "a.txt").write_text("add 1 0\nunk 0 1\n")
    (tmp_path / "b.txt").write_text("add 1 0\nunk 0 2\n")
    (tmp_path / "vocab.txt").write_text("[CLS]\n[SEP]\n[PAD]\n[UNK]\n")
    readers = [
        WordVectors(tmp_path / "a.txt"), WordVectors(tmp_path / "b.txt"), WordVectors(tmp_path / "a.txt", 5),
        WordVectors(tmp_path / "a.txt", max_previous=5), WordPieces(tmp_path), WordPieces(tmp_path, 9),
    ]  # fmt: skip
    assert len({reader_digest(reader) for reader in readers}) == len(readers)
    assert reader_digest(readers[0]) == reader_digest(WordVectors(tmp_path / "a.txt"))
