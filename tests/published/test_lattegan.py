"""Files of LatteGAN and GeNeVA that do not fit; those that do are in the parity cases."""

import pytest
import torch

from models.object_localizer import InceptionTrunk, ObjectLocalizer
from models.weights import WeightsError
from published import load_published
from tests.parity.case import read_case
from tests.parity.fill import fill_state

PARTS = ("eval_image_encoder", "eval_generator", "eval_discriminator")


@pytest.fixture(scope="module")
def snapshot(assets, tmp_path_factory):
    case = read_case(assets / "parity" / "lattegan_variants.json", tmp_path_factory.mktemp("case"))
    return {part: fill_state(rows) for part, rows in case.files["spade_none.pth"]["entries"].items()}


def saved(path, content):
    torch.save(content, path)
    return path


def test_layouts_are_read_off_the_weights(snapshot, tmp_path):
    networks = load_published("lattegan", saved(tmp_path / "model_e0_i1.pth", snapshot))
    generator = networks.generator
    assert (generator.text_dim, generator.condition_dim, generator.noise_dim, generator.resolution) == (24, 8, 5, 128)
    assert (generator.fusion.words, generator.fusion.relations, generator.fusion.gate_dim) == ("none", None, 1)
    assert networks.discriminator.comparison == "all"
    assert not any(network.training for network in networks)
    networks.generator.train()  # and can be trained on
    assert all(value.requires_grad for network in networks for value in network.parameters())


@pytest.mark.parametrize("part", PARTS)
def test_snapshots_that_do_not_fit(snapshot, tmp_path, part):
    without = {name: rows for name, rows in snapshot.items() if name != part}
    with pytest.raises(WeightsError, match=rf"expected a dict of {', '.join(PARTS)}: a snapshot"):
        load_published("lattegan", saved(tmp_path / "a.pth", without))
    strange = snapshot | {part: snapshot[part] | {"module.head.weight": torch.zeros(2, 2)}}
    with pytest.raises(WeightsError, match=r"hold 1 entries this kind does not have: head.weight"):
        load_published("lattegan", saved(tmp_path / "b.pth", strange))
    name = next(name for name in snapshot[part] if "conv2.weight" in name)
    cut = {key: value for key, value in snapshot[part].items() if key != name}
    with pytest.raises(WeightsError, match=r"1 missing: .*conv2.*weight"):
        load_published("lattegan", saved(tmp_path / "c.pth", snapshot | {part: cut}))


@pytest.mark.parametrize("kind", ["lattegan", "lattegan_text", "geneva_localizer"])
def test_files_of_another_kind(kind, tmp_path):
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_published(kind, tmp_path / "none.pth")
    for content in ([1], {"layer.weight": torch.zeros(2, 2)}, {"state_dict": {"layer.weight": torch.zeros(2, 2)}}):
        with pytest.raises(WeightsError, match=r"other\.pth"):
            load_published(kind, saved(tmp_path / "other.pth", content))


def test_a_text_encoder_without_layers(tmp_path):
    with pytest.raises(WeightsError, match=r"lacks word.weight"):
        load_published("lattegan_text", saved(tmp_path / "a.pth", {"bert": {}}))
    with pytest.raises(WeightsError, match=r"lacks current.rnn.weight_ih_l0"):
        load_published("lattegan_text", saved(tmp_path / "a.pth", {"rnn_prev": {}, "rnn_curr": {}}))


def test_a_localiser_whose_heads_disagree(tmp_path):
    with torch.device("meta"):
        shapes = ObjectLocalizer(3, 2, InceptionTrunk()).state_dict()
    heads = {name: torch.zeros(value.shape) for name, value in shapes.items() if not name.startswith("trunk")}
    heads["localizer.1.weight"] = torch.zeros(7, 512)
    with pytest.raises(WeightsError, match="has 7 numbers for 3 classes, expected 2 or 3 coordinates each"):
        load_published("geneva_localizer", saved(tmp_path / "a.pth", {"state_dict": heads}))
