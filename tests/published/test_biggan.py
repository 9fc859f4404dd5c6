"""Published files of BigGAN beside the parity cases: the config beside the weights, and files that do not fit."""

import pytest
import torch

from gan.biggan.discriminator import BigganDiscriminator
from gan.biggan.generator import BigganGenerator
from gan.class_generators import OfClass
from models.weights import WeightsError
from published import load_published
from published.biggan import DISCRIMINATOR_RULES, _generator_rules
from published.key_map import inverse, rename

NAME = "biggan128_G_ema_places365-78c78abe.pth"


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return BigganGenerator([8, 8, 8], latent_dim=12, num_classes=3, class_dim=5, attention=[8]).eval()


@pytest.fixture(scope="module")
def state(generator):
    own = {name: value for name, value in generator.state_dict().items() if not name.endswith("num_batches_tracked")}
    return rename(own, inverse(_generator_rules(2)), "a test")


def saved(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def test_weights_come_back_with_their_layout(generator, state, tmp_path):
    loaded = load_published(
        "biggan", saved(tmp_path / "G.pth", {f"module.{name}": one.double() for name, one in state.items()})
    )
    assert loaded.widths == [8, 8, 8]
    assert (loaded.latent_dim, loaded.num_classes, loaded.class_dim) == (12, 3, 5)
    latents = torch.randn(2, 12)
    assert torch.equal(OfClass(loaded, 1)(latents), OfClass(generator, 1)(latents))
    assert not loaded.training
    assert all(weight.requires_grad and weight.device.type == "cpu" for weight in loaded.parameters())


@pytest.mark.parametrize("zipped", [True, False])
def test_epsilons_come_from_the_config_beside_the_weights(state, tmp_path, zipped):
    """The published file holds the activation, an object, beside plain values; nothing of it is run."""
    config = {"BN_eps": 1e-3, "SN_eps": 1e-2, "G_activation": torch.nn.ReLU(), "G_param": "SN"}
    content = {"itr": 3, "best_IS": torch.tensor(2.0), "config": config}
    path = tmp_path / "biggan128_state_dict_places365-3d39f6bb.pth"
    saved(path, content, _use_new_zipfile_serialization=zipped)
    loaded = load_published("biggan", saved(tmp_path / NAME, state))
    assert loaded.layer1.norm1.norm.eps == 1e-3
    assert loaded.layer1.conv1.eps == 1e-2
    assert loaded.output.norm.eps == 1e-5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"config": {"G_param": "SVD"}}, "has G_param 'SVD', of which only 'SN' is carried"),
        ({"config": {"norm_style": "in"}}, "has norm_style 'in', of which only 'bn'"),
        ({"config": {"BN_eps": "small"}}, "has BN_eps 'small', expected a number above 0"),
        ({"itr": 1}, "has no config"),
        (None, "is not a complete torch file"),
    ],
)
def test_a_config_that_does_not_fit(state, tmp_path, content, message):
    path = tmp_path / "state_dict_best0.pth"
    path.write_bytes(b"nothing") if content is None else saved(path, content)
    with pytest.raises(WeightsError, match=rf"state_dict_best0.pth.* {message}"):
        load_published("biggan", saved(tmp_path / "G_ema_best0.pth", state))


def test_weights_without_values_for_logs_are_of_tensorflow_hub(state, tmp_path):
    state = {name: value for name, value in state.items() if not name.endswith("sv0")}
    loaded = load_published("biggan", saved(tmp_path / "tfbiggan_128-13f17ff2.pth", state))
    assert (loaded.layer1.norm1.norm.eps, loaded.layer1.conv1.eps) == (1e-4, 1e-4)


def test_statistics_of_other_training_settings(generator, state, tmp_path):
    """Sums over 4 batches, and names of synchronised batch norm."""
    changed = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        if last.startswith("stored_") and stem.startswith("blocks.0"):
            changed[f"{stem}.bn.{last}"] = value * 4
            changed[f"{stem}.bn.accumulation_counter"] = torch.tensor([4.0])
        elif last.startswith("stored_"):
            changed[f"{stem}.bn.{last.replace('stored', 'running')}"] = value
            changed[f"{stem}.bn.num_batches_tracked"] = torch.tensor(1)
        else:
            changed[name] = value
    loaded = load_published("biggan", saved(tmp_path / "G.pth", changed))
    latents = torch.randn(2, 12)
    assert torch.equal(OfClass(loaded, 0)(latents), OfClass(generator, 0)(latents))


def test_a_discriminator_of_32_pixels_comes_back(tmp_path):
    critic = BigganDiscriminator(32, [8] * 4, num_classes=2, attention=[16], downsamples=2).eval()
    names = {"logit": "linear", "classes": "embed", "shortcut": "conv_sc", "u": "u0", "sigma": "sv0"}
    heads = {"query": "theta", "key": "phi", "value": "g", "output": "o"}
    state = {}
    for name, value in critic.state_dict().items():
        parts = [(heads | names).get(part, part) for part in name.split(".")]
        if parts[0] == "blocks":
            parts = [*parts[:2], "1", *parts[3:]] if parts[2] == "attention" else [*parts[:2], "0", *parts[2:]]
        state[".".join(parts)] = value
    assert rename(state, DISCRIMINATOR_RULES, "a test").keys() == critic.state_dict().keys()
    loaded = load_published("biggan_discriminator", saved(tmp_path / "D.pth", state))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images, torch.tensor([0, 1])), critic(images, torch.tensor([0, 1])))


@pytest.mark.parametrize("kind", ["biggan", "biggan_discriminator"])
def test_files_of_another_kind(kind, state, tmp_path):
    with pytest.raises(WeightsError, match="There is no weight file"):
        load_published(kind, tmp_path / "G.pth")
    with pytest.raises(WeightsError, match=r"hold 1 entries this kind does not have: layer.weight"):
        load_published(kind, saved(tmp_path / "G.pth", {"layer.weight": torch.zeros(2, 2)}))
    cut = {name: value for name, value in state.items() if "linear" not in name}
    if kind == "biggan":
        with pytest.raises(WeightsError, match=r"lacks layer0.linear.weight"):
            load_published(kind, saved(tmp_path / "G.pth", cut))


def test_a_missing_entry_is_an_error(state, tmp_path):
    cut = {name: value for name, value in state.items() if name != "blocks.1.0.conv2.bias"}
    with pytest.raises(WeightsError, match=r"1 missing: layer2.conv2.bias"):
        load_published("biggan", saved(tmp_path / "G.pth", cut))
