"""Features as text in ZeroSpeech's layout, the bitrate by its definition, and submissions."""

import math
import zipfile
from collections import Counter

import numpy as np
import pytest
import yaml

from evaluation.abx.items import AbxError
from evaluation.abx.zerospeech import Bitrate, Submission, read_features, write_archive, write_features


@pytest.fixture
def features():
    """Two utterances: one of few distinct frames, with minus zero among them, one of many."""
    draw = np.random.default_rng(0)
    codes = draw.normal(size=(4, 6)).astype(np.float32)
    codes[0, 0], codes[1, 0] = -0.0001, 0.0001
    codes[1, 1:] = codes[0, 1:]
    return [codes[draw.integers(0, 4, 50)], draw.normal(size=(30, 6)).astype(np.float32)]


def test_the_text_is_what_the_original_writes(tmp_path, features):
    for values in features:
        write_features(tmp_path / "ours.txt", values)
        np.savetxt(tmp_path / "theirs.txt", values, fmt="%.3f")
        assert (tmp_path / "ours.txt").read_bytes() == (tmp_path / "theirs.txt").read_bytes()
        np.testing.assert_allclose(read_features(tmp_path / "ours.txt"), values, atol=5.1e-4)


def test_bitrate_by_hand():
    """Symbols a, a, b, c in 2 s: 1.5 bits for each of 4 lines."""
    rate = Bitrate()
    rate.add(np.array([[0.0], [0.0001], [1.0]]), 1.5)
    rate.add(np.array([[2.0]]), 0.5)
    assert (rate.lines, rate.symbols, rate.entropy, rate.value) == (4, 3, 1.5, 3.0)
    one = Bitrate()
    one.add(np.zeros((10, 2)), 1)
    assert one.value == 0
    assert math.isnan(Bitrate().value)


def test_bitrate_of_features_and_of_their_texts(tmp_path, features, monkeypatch):
    """Against the definition with a dict of lines, also when counts are put together again and again."""
    monkeypatch.setattr("evaluation.abx.zerospeech.PENDING", 7)
    memory, files, counts = Bitrate(), Bitrate(), Counter()
    for index, values in enumerate(features):
        write_features(tmp_path / f"{index}.txt", values)
        memory.add(values, 0.7)
        files.add_file(tmp_path / f"{index}.txt", 0.7)
        counts.update(tuple(map(float, line.split())) for line in (tmp_path / f"{index}.txt").read_text().splitlines())
    lines = sum(counts.values())
    entropy = -sum(n / lines * math.log2(n / lines) for n in counts.values())
    assert (lines, len(counts)) == (80, 33)
    for rate in (memory, files):
        assert rate.value == pytest.approx(lines / 1.4 * entropy)


def test_texts_that_are_no_features(tmp_path):
    path = tmp_path / "u.txt"
    with pytest.raises(AbxError, match=r"there are no features .*u.txt; dump them with resdavenet_vq/dump.yaml"):
        read_features(path)
    path.write_text("\n")
    with pytest.raises(AbxError, match=r"u.txt is empty, expected a line for each frame"):
        read_features(path)
    path.write_text("1.0 2.0\n1.0\n")
    with pytest.raises(AbxError, match="line 2: found 1 numbers, expected 2 finite ones as in the first line"):
        read_features(path)
    path.write_text("1.0 2.0\n1.0 inf\n")
    with pytest.raises(AbxError, match="line 2: found 2 numbers, expected 2 finite ones"):
        read_features(path)
    path.write_text("1.0 2.0\n1.0 x\n")
    with pytest.raises(AbxError, match=r"line 2: expected numbers \(could not convert"):
        read_features(path)


def test_metadata_has_what_the_challenge_checks():
    values = yaml.safe_load(Submission(author="A: B", embedding="auxiliary_embedding1").metadata())
    text = {"author", "affiliation", "system description", "abx distance", "auxiliary1 description"}
    truth = {"open source", "using parallel train", "using external data"}
    assert set(values) == text | truth
    assert all(isinstance(values[key], str) and values[key] for key in text)
    assert all(isinstance(values[key], bool) for key in truth)
    assert values["author"] == "A: B"
    assert "auxiliary1 description" not in yaml.safe_load(Submission().metadata())


def test_an_archive_is_the_same_whenever_it_is_written(tmp_path):
    folder = tmp_path / "made"
    files = [folder / "metadata.yaml", folder / "english" / "test" / "u.txt"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    write_archive(tmp_path / "a.zip", folder, files)
    files[0].touch()
    write_archive(tmp_path / "b.zip", folder, files)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["metadata.yaml", "english/test/u.txt"]
        assert archive.read("english/test/u.txt") == b"u.txt"
        assert archive.testzip() is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_features_that_windows_redirected(tmp_path, encoding):
    (tmp_path / "u.txt").write_bytes("1.0 2.0\r\n3.0 4.5\r\n".encode(encoding))
    np.testing.assert_array_equal(read_features(tmp_path / "u.txt"), np.array([[1, 2], [3, 4.5]], np.float32))
    (tmp_path / "u.txt").write_bytes("1.0 2,5\u00e9\n".encode("latin-1"))
    with pytest.raises(AbxError, match=r"line 1 holds the byte 0xe9 .*expected features, a line for each frame"):
        read_features(tmp_path / "u.txt")
