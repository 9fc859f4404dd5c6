"""Files of directions and words: what is written is read; everything else ends in one sentence."""

import json

import pytest
import torch
from safetensors.torch import save_file

from gan.directions.directions import DirectionError, Directions
from gan.directions.distillation import Vocabulary
from gan.directions.files import (
    FoundDirections,
    load_directions,
    load_vocabularies,
    save_directions,
    save_vocabularies,
)
from models.weights import WeightsError


@pytest.fixture
def found():
    vectors = torch.nn.functional.normalize(torch.randn(2, 3, 4), dim=-1)
    directions = Directions(vectors, ["layer1", "layer1", "layer0"], torch.rand(2, 3))
    return FoundDirections(directions, torch.randn(2, 4), torch.tensor([1, 0]))


def test_directions_come_back(found, tmp_path):
    path = tmp_path / "folder" / "x.safetensors"
    save_directions(path, found, {"seed": 3})
    again, card = load_directions(path)
    assert torch.equal(again.directions.vectors, found.directions.vectors)
    assert torch.equal(again.classes, found.classes)
    assert again.directions.layers == found.directions.layers
    assert card["seed"] == 3
    assert not again.shared
    assert FoundDirections(Directions(torch.zeros(1, 3, 4), [], torch.zeros(1, 3)), torch.zeros(2, 4), None).shared


def test_vocabularies_come_back(tmp_path):
    path = tmp_path / "words.safetensors"
    words = Vocabulary(["red", "cube"], torch.randn(2, 4), [5, 3], 0.3, {0.1: 2.0, 0.3: 1.0})
    save_vocabularies(path, {"all": words, "cube": words}, {"seed": 1})
    again, card = load_vocabularies(path)
    assert list(again) == ["all", "cube"]
    assert again["all"].words == words.words
    assert again["all"].errors == words.errors
    assert torch.equal(again["cube"].direction("red"), words.vectors[0])
    assert card["seed"] == 1


def test_files_that_do_not_fit_are_one_sentence(found, tmp_path):
    path = tmp_path / "x.safetensors"
    save_directions(path, found, {})
    with pytest.raises(DirectionError, match=r"is of kind 'directions', expected vocabulary"):
        load_vocabularies(path)
    with pytest.raises(DirectionError, match=r"expected the \.safetensors file of directions"):
        load_directions(tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_directions(tmp_path / "nowhere.safetensors")
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"layers": ["layer1"]}))
    with pytest.raises(DirectionError, match="2 sets of 3 directions of 4 numbers do not fit"):
        load_directions(path)
    save_file({"vectors": torch.zeros(2, 3, 4, dtype=torch.int64)}, path)
    with pytest.raises(DirectionError, match=r"found shape \(2, 3, 4\) for 'vectors', expected numbers with 3 axes"):
        load_directions(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match="copy it beside"):
        load_directions(path)
