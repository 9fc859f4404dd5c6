"""Files that a list names in another way than the disk does."""

import pytest

from datasets.file_names import FileNames, missing

NFC, NFD = "caf\u00e9", "cafe\u0301"


def made(root, name):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return str(path)


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("a/b.wav", "a/b.wav"),
        ("a/b.wav", "a\\b.wav"),
        ("a/b/c.wav", "a\\b/c.wav"),
        (f"{NFD}.wav", f"{NFC}.wav"),
        (f"{NFC}.wav", f"{NFD}.wav"),
        (f"{NFD}/{NFC}/{NFD}.wav", f"{NFC}/{NFD}/{NFC}.wav"),
        (f"{NFD}/{NFD}.wav", f"{NFC}\\{NFC}.wav"),
        (f"\ud55c\uae00/{NFC}.wav", f"\u1112\u1161\u11ab\u1100\u1173\u11af\\{NFD}.wav"),
    ],
)
def test_the_same_name_written_otherwise(tmp_path, there, named):
    path = made(tmp_path, there)
    files = FileNames()
    assert files.find(f"{tmp_path}/{named}") == path
    assert files.backslashes == ("\\" in named)


def test_the_very_name_comes_first(tmp_path):
    for name in (f"{NFC}.wav", f"{NFD}.wav", "a\\b.wav", "a/b.wav"):
        path = made(tmp_path, name)
        assert FileNames().find(path) == path


def test_what_is_not_there(tmp_path):
    made(tmp_path, "a/b.wav")
    files = FileNames()
    for name in ("a", "b.wav", "a/c.wav", "a\\c.wav", "a/b.wav/c", "x/y/z.wav", "\0", "a" * 5000, "a/\ud800.wav"):
        assert files.find(f"{tmp_path}/{name}") is None
    assert files.find("nowhere.wav") is None
    assert files.backslashes == 0


def test_thousands_of_folders_that_are_not_there(tmp_path):
    made(tmp_path, f"{NFD}/b.wav")
    files = FileNames()
    for name in ("x/" * 1900, "x/" * 5000, "x\\" * 5000):
        assert files.find(f"{tmp_path}/{NFC}/{name}b.wav") is None
    said = missing("/data/" + "x/" * 5000 + "b.wav", "b.wav")
    assert said.startswith("/data/x/x/") and said.endswith("/x/b.wav does not exist") and len(said) < 450


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("3.wav", "^/data/3.wav does not exist$"),
        ("wav\\3.wav", "does not exist, nor with slashes for its backslashes$"),
        (
            "D:\\set\\3.wav",
            r"^D:\\set\\3.wav does not exist: it is a path of Windows, .* by what follows, such as 3.wav$",
        ),
        ("c:/set/3.wav", "^c:/set/3.wav does not exist: it is a path of Windows"),
        ("\\\\server\\share\\3.wav", "it is a path of Windows, on a drive of another machine"),
    ],
)
def test_the_message_says_what_may_be_the_reason(given, message):
    with pytest.raises(ValueError, match=message):
        raise ValueError(missing("/data/3.wav", given))
