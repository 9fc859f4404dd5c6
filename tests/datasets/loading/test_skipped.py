"""The list of rows that could not be used."""

from datasets.loading.skipped import SkippedFile, merge_skipped, read_skipped


def test_reasons_may_name_files_that_are_not_in_utf8(tmp_path):
    path = tmp_path / "skipped.csv"
    SkippedFile(path).add("train", 3, "caf\udce9.wav: breaks off")
    assert read_skipped(path) == [("train", 3, r"caf\udce9.wav: breaks off")]
    listed = merge_skipped(path, [("test", 1, "\ud83d.png: shows nothing")])
    assert [row[:2] for row in listed] == [("test", 1), ("train", 3)]
    assert read_skipped(path)[0] == ("test", 1, r"\ud83d.png: shows nothing")


def test_a_damaged_line_spoils_no_other(tmp_path):
    path = tmp_path / "skipped.csv"
    SkippedFile(path).add("train", 1, 'a "name", with all\nof it')
    whole = ("train", 1, 'a "name", with all of it')
    rows = path.read_bytes()
    path.write_bytes(rows + b'train,2,"open\r\ntrain,3,' + b"x" * 200_000 + b"\r\ntrain,4,caf\xc3\r\n")
    listed = [whole, ("train", 2, "open"), ("train", 3, "x" * 200_000), ("train", 4, "caf\ufffd")]
    assert read_skipped(path) == listed
    path.write_bytes(path.read_bytes() + b"train,5,cut in a letter \xc3")
    assert read_skipped(path) == listed
    SkippedFile(path).add("train", 6, "broken")
    assert read_skipped(path) == [*listed, ("train", 6, "broken")]
    assert merge_skipped(path, []) == read_skipped(path)


def test_the_first_row_may_be_cut(tmp_path):
    path = tmp_path / "skipped.csv"
    path.write_bytes(b"spl")
    SkippedFile(path).add("train", 6, "broken")
    assert path.read_bytes() == b"split,row,reason\r\ntrain,6,broken\r\n"
