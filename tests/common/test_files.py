import os
from pathlib import Path

import pytest

from common.files import LargeFileError, read_at_once, write_whole, written_whole
from common.text_files import TextError, read_text


def test_a_file_of_terabytes_is_refused_by_its_size(tmp_path):
    """A sparse one takes no room on the disk."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"word\n")
    assert read_at_once(path) == b"word\n"
    os.truncate(path, 4 << 40)
    message = (
        r"a\.txt has 4398046511104 bytes, expected at most 2147483648 of a file that is read at once; give the file"
    )
    with pytest.raises(LargeFileError, match=message):
        read_at_once(path)
    with pytest.raises(TextError, match=message):
        read_text(path)


def test_what_has_no_size_is_read_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("common.files.LARGEST", 1000)
    monkeypatch.setattr("common.files.PIECE", 300)
    with pytest.raises(LargeFileError, match="/dev/zero has more than 1000 bytes, expected at most 1000 of a file"):
        read_at_once(Path("/dev/zero"))
    (tmp_path / "a.txt").write_bytes(bytes(range(250)) * 4)
    assert read_at_once(tmp_path / "a.txt") == bytes(range(250)) * 4


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path):
    path = tmp_path / "folder" / "list.txt"
    write_whole(path, b"first")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as temporary:
        temporary.write_bytes(b"sec")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first"
    with written_whole(path) as temporary:
        temporary.write_bytes(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert [found.name for found in path.parent.iterdir()] == ["list.txt"]
