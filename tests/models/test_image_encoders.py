import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50, vgg

import config
from models.image_encoders import Resnet50Encoder, Vgg16Encoder
from models.weights import WeightsError
from tests.models.networks import check_gradients


def vgg16_file(path):
    """A file in torchvision's layout with a cut classifier: its tensors are not used, only their names."""
    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return features


def test_vgg16():
    torch.manual_seed(0)
    network = Vgg16Encoder(embedding_dim=24)
    maps = network(torch.randn(1, 3, 64, 64))
    assert maps.shape == (1, 24, 4, 4)
    assert maps.min() == 0  # after a ReLU
    check_gradients(network, maps)


def test_vgg16_frozen_on_a_file(tmp_path):
    features = vgg16_file(tmp_path / "vgg16.pth")
    network = Vgg16Encoder(embedding_dim=24, pretrained=tmp_path / "vgg16.pth", freeze_trunk=True)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.trunk(image), features[:-1](image))
    check_gradients(network, network(image))
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["embedder.weight", "embedder.bias"]


def test_resnet50():
    torch.manual_seed(0)
    network = Resnet50Encoder(embedding_dim=24)
    maps = network(torch.randn(2, 3, 64, 64))
    assert maps.shape == (2, 24, 2, 2)
    check_gradients(network, maps)


def test_resnet50_frozen_on_a_file(tmp_path):
    published = resnet50(weights=None).eval()
    save_file(published.state_dict(), tmp_path / "resnet50.safetensors")
    network = Resnet50Encoder(24, pretrained=tmp_path / "resnet50.safetensors", freeze_trunk=True).train()
    published.avgpool, published.fc = torch.nn.Identity(), torch.nn.Identity()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = published(image).view(2, 2048, 2, 2)
        assert torch.allclose(network.trunk(image), expected, atol=1e-5)  # in training mode: its norms are held
    check_gradients(network, network(image))


def test_resnet50_frozen_batch_norm():
    network = Resnet50Encoder(8, freeze_batch_norm=True).train()
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 53
    assert not any(layer.training for layer in norms)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_weights_of_another_network(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other.pth hold 'conv1.weight', expected torchvision's names \(features"):
        Vgg16Encoder(pretrained=tmp_path / "other.pth")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and no network."""

    def check_values(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", check_values)


def test_offline_says_what_to_place_where(tmp_path, offline):
    with pytest.raises(
        WeightsError, match=r"https://\S+/vgg16-397923af.pth \(network is unreachable\).* place it at"
    ) as e:
        Vgg16Encoder(pretrained="imagenet")
    assert str(tmp_path / "checkpoints" / "vgg16-397923af.pth") in str(e.value)


@pytest.mark.parametrize(
    ("name", "file"), [("davenet/places", "vgg16-397923af.pth"), ("resdavenet_vq/base", "resnet50-0676ba61.pth")]
)
def test_a_config_asks_for_the_weights_by_their_name(offline, name, file):
    """The word is one of the choices beside a path, so it names no file of the project."""
    node = config.check(config.load(name))["task"]["image_encoder"]
    with pytest.raises(WeightsError, match=rf"Could not download https://\S+/{file}"):
        config.build(node, "task.image_encoder")
    assert not list(config.Factory(config.resolve_type(node.pop("type")), node, "image_encoder").paths())


def test_a_config_names_a_file_of_weights(tmp_path):
    vgg16_file(tmp_path / "vgg16.pth")
    node = {"type": "models.image_encoders.Vgg16Encoder", "embedding_dim": 8, "pretrained": str(tmp_path / "vgg16.pth")}
    assert isinstance(config.build(node), Vgg16Encoder)
    arguments = {"pretrained": "data/vgg16.pth"}
    named = dict(config.Factory(Vgg16Encoder, arguments, "image_encoder").paths())
    assert named == {"image_encoder.pretrained": config.PROJECT_ROOT / "data/vgg16.pth"}


def test_wrong_file_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet50-0676ba61.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"has SHA-256 \w{8}\.\.\., expected 0676ba61"):
        Resnet50Encoder(pretrained="imagenet")
