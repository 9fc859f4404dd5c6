"""Annotations that people write: kept a line at a time, read again, refused in one sentence."""

import csv

import pytest

from published.visual_vocab.data_sets import VocabularyError
from tasks.visual_vocab.serve.records import Records, RecordsError


def test_texts_are_kept_and_gone_on_with(tmp_path):
    path = tmp_path / "annotations.csv"
    records = Records(path, 3)
    assert records.next("Ada") == 0
    records.add(0, 'more "red",\n less sky ', "Ada")
    records.add(1, "=a cube", "Ben")
    assert records.next("Ada") == 2  # the pair with the fewest texts
    assert records.next("Ben") == 2
    rows = list(csv.reader(path.open()))
    assert rows == [["d_id", "annotation", "annotator"], ["0", 'more "red", less sky', "Ada"], ["1", "=a cube", "Ben"]]
    with path.open("ab") as file:
        file.write(b"2,half a li")  # a kill
    again = Records(path, 3)
    assert len(again) == 2
    assert again.of("Ada") == 1
    assert again.next("Ada") == 2
    with pytest.raises(RecordsError, match="Ada has written about pair 0 before"):
        again.add(0, "again", "Ada")


def test_skipped_pairs_come_last_and_an_end_is_none(tmp_path):
    records = Records(tmp_path / "a.csv", 2)
    records.skip(0, "Ada")
    assert records.next("Ada") == 1
    records.add(1, "red", "Ada")
    assert records.next("Ada") == 0
    records.add(0, "blue", "Ada")
    assert records.next("Ada") is None


@pytest.mark.parametrize(("text", "name"), [("  ", "Ada"), ("red", " \n")])
def test_empty_texts_and_names_are_refused(text, name, tmp_path):
    with pytest.raises(RecordsError, match="write what changes, and your name"):
        Records(tmp_path / "a.csv", 1).add(0, text, name)


def test_files_of_others_are_one_sentence(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("number,text\n1,a longer line of red\n")
    with pytest.raises(VocabularyError, match="has the columns number, text; expected d_id, annotation too"):
        Records(path, 2)
    path.write_text("d_id,annotation\n1,a longer line of red\n")
    with pytest.raises(VocabularyError, match="d_id 1 has no annotator"):
        Records(path, 2)


def test_a_full_file_takes_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.visual_vocab.serve.records.MOST", 1)
    records = Records(tmp_path / "a.csv", 2)
    records.add(0, "red", "Ada")
    with pytest.raises(RecordsError, match=r"a\.csv holds 1 annotations and takes no more"):
        records.add(1, "red", "Ada")
