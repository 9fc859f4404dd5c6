"""Files of LatteGAN and GeNeVA that do not fit; those that do are in the parity cases."""

from argparse import Namespace

import pytest
import torch

from engine.init_from import InitFrom, start_from
from models.object_localizer import InceptionTrunk, ObjectLocalizer
from models.weights import WeightsError
from published import load_published
from published.lattegan.geneva import read_states
from tasks.lattegan.task import Lattegan
from tests.parity.case import read_case
from tests.parity.fill import fill_state
from tests.parity.kinds.geneva import loaded
from tests.steps import FakeTask

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


def test_a_training_starts_from_a_snapshot(snapshot, tmp_path):
    path = saved(tmp_path / "model_e0_i1.pth", snapshot)
    expected, fresh = (load_published("lattegan", path)._asdict() for _ in range(2))
    for network in fresh.values():
        for value in network.parameters():
            torch.nn.init.zeros_(value)
    task = FakeTask(fresh)
    task.read_published = Lattegan.read_published
    start_from(InitFrom(path), task)
    for name, network in fresh.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, expected[name].state_dict()[key]), f"{name}.{key}"


@pytest.fixture(scope="module")
def geneva(assets, tmp_path_factory):
    """A variant's published state dicts by the names of a snapshot, whether it has a gate, and its networks here."""
    case = read_case(assets / "parity" / "geneva.json", tmp_path_factory.mktemp("geneva"))
    name, options = next(iter(case.hyper["variants"].items()))
    parts = {part: fill_state(rows, case.spec["salt"]) for part, rows in case.files[f"{name}.pth"]["entries"].items()}
    return parts, options["gen_fusion"] == "gate", loaded(case, name)


def test_snapshots_of_geneva_gan(geneva, tmp_path):
    parts, gate, networks = geneva
    arguments = {"cfg": Namespace(gan_type="recurrent_gan", noise_dim=5), "epoch": 3}
    found = read_states(saved(tmp_path / "snapshot_500.pth", parts | arguments), gate)
    assert found.keys() == networks.keys()
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(found[name].get(key, value), value), f"{name}.{key}"


def test_lattegans_snapshots_of_geneva_gan(geneva, tmp_path):
    parts, gate, networks = geneva
    own = {part.removesuffix("_state_dict"): state for part, state in parts.items()}
    norm = {f"module.layer_norm.{key.removeprefix('module.')}": value for key, value in own.pop("layer_norm").items()}
    own["rnn"] = {f"module.rnn.{key.removeprefix('module.')}": value for key, value in own["rnn"].items()} | norm
    del own["discriminator"]
    found = read_states(saved(tmp_path / "e1_i2.pth", own), gate)
    assert found.keys() == networks.keys() - {"discriminator"}
    assert found["dialogue"].keys() == networks["dialogue"].state_dict().keys()
    with pytest.raises(WeightsError, match="lacks image_encoder, rnn: expected a snapshot of GeNeVA-GAN"):
        read_states(
            saved(tmp_path / "b.pth", {key: own[key] for key in own if key not in ("image_encoder", "rnn")}), gate
        )
    with pytest.raises(WeightsError, match="holds a list, expected a snapshot of GeNeVA-GAN"):
        read_states(saved(tmp_path / "c.pth", [1]), gate)
