"""The job that distils words: files, classes, the published layout, and the published closed form."""

import csv
import json
import zipfile

import pytest
import torch

from gan.directions.files import load_vocabularies
from published.visual_vocab.data_sets import AnnotatedDirectionsDataset, save_data_set
from tests.tasks.visual_vocab.conftest import run_config

TEXTS = ["more red", "red cube", "more blue", "blue cube", "red", "blue", "more cube", "cube"]


@pytest.fixture
def data_set(tmp_path):
    """Eight directions with a text each, in two classes."""
    vectors = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    kinds = ["cube", "sphere"] * 4
    save_data_set(tmp_path / "data", vectors, [[text] for text in TEXTS], [{"class": kind} for kind in kinds])
    return tmp_path / "data"


def distil(folder, data_set, *overrides, **values):
    asked = {"annotations": str(data_set), "min_count": 2, "penalties": [1.0, 10.0], "folds": 2}
    return run_config(folder, "distil", asked | values, *overrides)


def test_words_get_the_directions_of_the_closed_form(data_set, tmp_path):
    """E = (W'W + I)^-1 W'D with one penalty, words sorted by their counts, then by alphabet."""
    assert distil(tmp_path, data_set, penalties=[1.0]) == 0
    found, card = load_vocabularies(tmp_path / "distil" / "vocabulary.safetensors")
    words = ["cube", "blue", "more", "red"]
    assert found["all"].words == words
    assert found["all"].counts == [4, 3, 3, 3]
    rows = torch.tensor([[float(word in text.split()) for word in words] for text in TEXTS])
    expected = torch.linalg.inv(rows.T @ rows + torch.eye(4)) @ rows.T @ AnnotatedDirectionsDataset(data_set).ds
    torch.testing.assert_close(found["all"].vectors, expected)
    assert set(found) == {"all", "cube", "sphere"}
    assert found["cube"].words == ["more", "red"]
    assert card["annotations"].endswith("data")
    published = AnnotatedDirectionsDataset(tmp_path / "distil" / "distilled")
    assert published[0].annotations == ("cube",)
    torch.testing.assert_close(published.ds, expected)
    lines = list(csv.reader((tmp_path / "distil" / "words.csv").open()))
    assert lines[1][:3] == ["all", "cube", "4"]
    assert json.loads((tmp_path / "distil" / "metrics.json").read_text())["words/all"] == 4


def test_penalties_are_compared_on_held_out_directions_and_archives_are_read(data_set, tmp_path):
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in data_set.iterdir():
            file.write(path, path.name)
    assert distil(tmp_path, archive, by_class=None) == 0
    found = load_vocabularies(tmp_path / "distil" / "vocabulary.safetensors")[0]
    assert set(found) == {"all"}
    assert set(found["all"].errors) == {1.0, 10.0}
    assert found["all"].errors[found["all"].penalty] == min(found["all"].errors.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"annotations": "/nowhere/data"}, "there is no /nowhere/data: give a folder with ds.pth, or an archive of it"),
        ({"min_count": 9}, "no word appears in 9 of 8 annotations; lower min_count"),
        ({"folds": 20}, "8 annotated directions cannot be parted into 20 folds"),
    ],
)
def test_errors_are_one_sentence(values, message, data_set, tmp_path, capsys):
    assert distil(tmp_path, data_set, **values) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_damaged_data_set_is_one_sentence(data_set, tmp_path, capsys):
    """Directions that are no tensor, ids without metadata, a zip that would write outside its folder."""
    torch.save({"a": 1}, tmp_path / "other.pth")
    kept = (data_set / "ds.pth").read_bytes()
    (data_set / "ds.pth").write_bytes((tmp_path / "other.pth").read_bytes())
    assert distil(tmp_path, data_set) == 2
    assert "ds.pth holds a dict, expected one tensor (directions, numbers)" in capsys.readouterr().err
    (data_set / "ds.pth").write_bytes(kept)
    (data_set / "metadata.csv").write_text("d_id,class\n0,cube\n")
    assert distil(tmp_path, data_set) == 2
    assert "has no row of 7 of 8 directions, the first with d_id 1" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../outside.txt", "x")
    assert distil(tmp_path, tmp_path / "evil.zip") == 2
    assert "points outside" in capsys.readouterr().err
    assert not (tmp_path.parent / "outside.txt").exists()


def test_a_direction_in_several_rows_is_held_out_as_one():
    """Two rows of each of two directions: with two folds each fold holds one direction, not rows of both."""
    from gan.directions.distillation import distil as by_ridge

    directions = torch.eye(3)[[0, 0, 1, 1]]
    texts = [["a"], ["a"], ["b"], ["b"]]
    found = by_ridge(directions, texts, penalty=(0.1, 1.0), folds=2)
    assert min(found.errors.values()) >= 1 / 3 - 1e-6  # the held-out word was never seen, so that its direction is 0
