"""Word vectors of the dialogues' words: kept from a file in GloVe's format, and what cannot be kept."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.errors import UserError
from datasets.dialogue.texts import WordVectors
from tasks.lattegan.word_vectors import keep_vectors
from tests.tasks.lattegan.worlds import write_squares

CONTEXT = SimpleNamespace(dry_run=False)


def dialogues(folder):
    write_squares(folder, "train", 4, 0)
    return folder / "clevr_train.h5"


def test_words_of_the_dialogues_are_kept(tmp_path):
    path = dialogues(tmp_path)
    source = tmp_path / "glove.txt"
    lines = ["the 9 9", "add 1 2", "a 3 4", "red 5 6", "ready 7 8"]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    keep_vectors(tmp_path / "kept.txt", {"train": path}, CONTEXT, source)
    kept = dict(line.split(" ", 1) for line in (tmp_path / "kept.txt").read_text(encoding="utf-8").splitlines())
    assert kept["add"] == "1 2" and "the" not in kept
    known = [np.array(values.split(), float) for word, values in kept.items() if word != "unk"]
    np.testing.assert_allclose(np.array(kept["unk"].split(), float), np.mean(known, axis=0), rtol=1e-4)
    read = WordVectors(tmp_path / "kept.txt", 8, 8)("", "add a zebra")
    assert read["nvectors"] == 3 and read["vectors"][0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file"),
        ("add x y\n", "line 1: .*a word and its numbers"),
        ("tea 1 2\n", "no vector"),
    ],
)
def test_vectors_that_are_not_there(tmp_path, text, message):
    source = tmp_path / "glove.txt"
    if text is not None:
        source.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        keep_vectors(tmp_path / "kept.txt", {"train": dialogues(tmp_path)}, CONTEXT, source)
