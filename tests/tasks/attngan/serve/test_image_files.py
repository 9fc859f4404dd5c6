"""Files of answers: random names, a budget, what is left of earlier calls, names that lead nowhere."""

import os
import re
from threading import Thread

import pytest

from common.errors import UserError
from tasks.attngan.serve.image_files import NAME, ImageFiles


def test_files_have_random_names_and_are_read_back(tmp_path):
    files = ImageFiles(tmp_path / "deep" / "images", 1000)
    names = [files.add(content) for content in (b"one", b"two")]
    assert all(NAME.fullmatch(name) for name in names)
    assert len(set(names)) == 2
    assert [files.read(name) for name in names] == [b"one", b"two"]
    assert files.bytes == 6


def test_the_oldest_files_make_room(tmp_path):
    files = ImageFiles(tmp_path, 25)
    names = [files.add(bytes(10)) for _ in range(4)]
    assert [files.read(name) is None for name in names] == [True, True, False, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[2:])
    assert (len(files), files.bytes) == (2, 20)
    assert files.read(files.add(bytes(100))) == bytes(100)  # the newest stays, however large
    assert len(files) == 1


def test_files_of_earlier_calls_count_and_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.png").write_bytes(bytes(100))
    earlier = ImageFiles(tmp_path, 40)
    names = [earlier.add(bytes(10)) for _ in range(4)]
    for age, name in enumerate(names):
        os.utime(tmp_path / name, ns=(age, age))
    files = ImageFiles(tmp_path, 30)
    assert [files.read(name) is None for name in names] == [True, False, False, False]
    assert files.read("thesis.png") is None
    assert (tmp_path / "thesis.png").exists()


def test_files_that_someone_deletes_are_gone(tmp_path):
    files = ImageFiles(tmp_path, 100)
    name = files.add(b"one")
    (tmp_path / name).unlink()
    assert files.read(name) is None


def test_a_budget_holds_under_many_threads(tmp_path):
    files = ImageFiles(tmp_path, 500)
    threads = [Thread(target=lambda: [files.add(bytes(10)) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.bytes == 500 == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=re.escape(f"folder: {tmp_path / 'file' / 'images'} cannot be made")):
        ImageFiles(tmp_path / "file" / "images", 100)
