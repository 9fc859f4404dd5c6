"""AttnGAN's files of captions to generate images of."""

import pytest

from datasets.loading.rows import ManifestError
from datasets.text_image.example_files import read_example_captions

CAPTIONS = ["this bird has a red head and blue wings", "a small, yellow bird with a black beak."]


@pytest.mark.parametrize("name", ["example_filenames.txt", "example_captions.txt"])
def test_the_published_files(assets, name):
    found = read_example_captions(assets / "formats" / "birds" / name)
    assert list(found) == ["example_captions"]
    assert found["example_captions"][:2] == CAPTIONS


def test_several_files(tmp_path):
    (tmp_path / "text" / "001.A").mkdir(parents=True)
    (tmp_path / "example_filenames.txt").write_text("text\\001.A\\one\n\nmore\n", encoding="utf-16")
    (tmp_path / "text" / "001.A" / "one.txt").write_text("a bird\n...\n\n a second bird \n", encoding="utf-8")
    (tmp_path / "more.txt").write_text("one bird", encoding="utf-8")
    found = read_example_captions(tmp_path / "example_filenames.txt")
    assert found == {"one": ["a bird", "a second bird"], "more": ["one bird"]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "names no file; expected names such as example_captions"),
        ("../secret", "1 problem; name files below the folder of the list\n  ../secret lies outside"),
        ("/etc/passwd", "/etc/passwd lies outside"),
        ("a/one\nb/one", "2 problems; their images would have one folder\n  a/one: another has this name"),
        ("none", "none.txt cannot be read .No such file or directory.; expected example_filenames.txt"),
        ("empty", "empty.txt holds no caption; expected captions, one a line"),
        ("latin", "latin.txt is no text in UTF-8"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, names, message):
    (tmp_path / "empty.txt").write_text("\n...\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "example_filenames.txt").write_text(names, encoding="utf-8")
    with pytest.raises(ManifestError, match=message):
        read_example_captions(tmp_path / "example_filenames.txt")
