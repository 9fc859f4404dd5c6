"""Generators of classes in the jobs of system 4: by run, by name, and in every method that finds directions."""

import json

import pytest
import torch

from gan.directions.closed_form import GanSpace, Sefa
from gan.directions.contrastive import Contrastive
from gan.directions.directions import RandomDirections
from gan.directions.files import FoundDirections, save_directions
from gan.directions.layer_selective import LayerSelective
from gan.directions.subjects import class_index, class_names, draw_subjects
from gan.r3gan.generator import R3ganGenerator
from tasks.gan.class_networks import GeneratorSource, TrainedNetwork
from tasks.visual_vocab import generators
from tasks.visual_vocab.annotation.pairs import ShownPairs


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return R3ganGenerator([16, 16, 16], latent_dim=8, num_classes=2, class_dim=4).eval()


@pytest.fixture
def generator(network, monkeypatch):
    loaded = TrainedNetwork(network, ["red cube", "blue sphere"], 7)
    monkeypatch.setattr(generators, "load_class_generator", lambda _: loaded)
    return generators.class_generator(GeneratorSource(shipped="any"))


def test_classes_keep_their_names(generator, tmp_path):
    assert class_names(generator) == ["red cube", "blue sphere"]
    assert class_index(generator, "blue sphere") == 1
    subjects = draw_subjects(generator, 4, of_class="red cube")
    found = RandomDirections(2).find(generator, *subjects)
    path = tmp_path / "x.safetensors"
    save_directions(path, FoundDirections(found, *subjects), {})
    assert json.loads(path.with_suffix(".json").read_text())["kind"] == "directions"
    pairs = ShownPairs(FoundDirections(found, *subjects), 1, generator)
    assert pairs.metadata(0, 6.0)["class"] == "red cube"
    assert pairs.images([0], 6.0)[1].shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    "method",
    [
        LayerSelective("layer2", "layer1", per_layer=1, steps=1, image_weight=1.0),
        Sefa(2),
        GanSpace("layer1", 2),
        Contrastive("layer1", 2, steps=1),
        RandomDirections(2),
    ],
    ids=lambda method: type(method).__name__,
)
def test_every_method_takes_latents_and_classes(method, generator):
    found = method.find(generator, *draw_subjects(generator, 5, seed=1))
    torch.testing.assert_close(found.vectors.norm(dim=-1), torch.ones(found.vectors.shape[:2]))
