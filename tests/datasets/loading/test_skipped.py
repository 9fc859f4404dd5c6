"""The list of rows that could not be used."""

from datasets.loading.skipped import SkippedFile, merge_skipped, read_skipped


def test_reasons_may_name_files_that_are_not_in_utf8(tmp_path):
    path = tmp_path / "skipped.csv"
    SkippedFile(path).add("train", 3, "caf\udce9.wav: breaks off")
    assert read_skipped(path) == [("train", 3, r"caf\udce9.wav: breaks off")]
    listed = merge_skipped(path, [("test", 1, "\ud83d.png: shows nothing")])
    assert [row[:2] for row in listed] == [("test", 1), ("train", 3)]
    assert read_skipped(path)[0] == ("test", 1, r"\ud83d.png: shows nothing")
