"""Digests of what a run learns from: other bytes are noticed, copies are not."""

import os
import shutil

import pytest

from datasets import digests
from datasets.digests import files_digest


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(9):
        (folder / f"{number}.wav").write_bytes(bytes([number] * (100 + number)))
    return folder


def found(folder):
    return files_digest(map(str, sorted(folder.iterdir())))


def test_the_words_have_number_and_bytes(files):
    assert found(files).startswith("9 files of 936 bytes with digest ")
    assert files_digest([]).startswith("0 files of 0 bytes")


def test_a_copy_at_another_time_is_the_same(files, tmp_path):
    former = found(files)
    shutil.copytree(files, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "3.wav", (0, 0))
    assert found(tmp_path / "copy") == former


@pytest.mark.parametrize("content", [b"longer than before" * 9, bytes(103), b""])
def test_another_content_is_noticed(files, content):
    former = found(files)
    (files / "3.wav").write_bytes(content)
    assert found(files) != former


def test_a_size_counts_everywhere_and_the_content_of_some(files, monkeypatch):
    monkeypatch.setattr(digests, "READ", 3)
    monkeypatch.setattr(digests, "AT_ONCE", 2)
    former = found(files)
    (files / "3.wav").write_bytes(bytes(103))  # files 0, 4 and 8 are read
    assert found(files) == former
    (files / "3.wav").write_bytes(bytes(102))
    assert found(files) != former
    (files / "3.wav").write_bytes(bytes([3] * 103))
    assert found(files) == former
    (files / "4.wav").write_bytes(bytes(104))
    assert found(files) != former


def test_what_cannot_be_read_counts_too(files):
    former = found(files)
    paths = [*map(str, sorted(files.iterdir()))]
    (files / "8.wav").unlink()
    assert files_digest(paths) != former
    assert files_digest([*paths, "a\0b"]).startswith("10 files of 828 bytes")
