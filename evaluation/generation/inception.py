"""Inception features for the Fréchet inception distance (arXiv:1706.08500), by torch-fidelity.

Network, weights (the TensorFlow release of 2015-12-05) and resizing (TensorFlow's bilinear, to 299) are those that
published figures use; torch-fidelity documents that they agree with the original program.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from evaluation.generation.frechet import GenerationError
from models.weights import read_state_dict

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
LAYER = "2048"


def _default_weights() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / URL.rsplit("/", 1)[-1]


class InceptionFeatures(nn.Module):
    """Return the 2048 features before Inception's last layer, as an `evaluation.generation.frechet.FeatureNetwork`.

    ``weights`` is torch-fidelity's file, by default where torch keeps downloads; nothing is downloaded. Raises
    GenerationError where there is no file, or another, and WeightsError where it is damaged.
    """

    name = "Inception 2015-12-05 (torch-fidelity), 2048 features"
    resize = "bilinear as TensorFlow 1, to 299"

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        path = weights or _default_weights()
        if not path.is_file():
            raise GenerationError(
                f"the Inception network needs its weights, and there is no {path}: fetch {URL} and place it there, or "
                "measure with evaluation.generation.frechet.RandomFeatures, which needs no file"
            )
        _check_digest(path)
        read_state_dict(path)  # refuses anything but tensors before torch-fidelity, which would run it, reads the file
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self.network = FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=str(path))
        self.network.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 2048) features of (B, 3, R, R) uint8."""
        return self.network(images)[0]


def _check_digest(path: Path) -> None:
    expected = URL.rsplit("-", 1)[-1].removesuffix(".pth")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise GenerationError(
            f"{path} is not the Inception network's weight file (SHA-256 {digest[:8]}..., expected {expected}...): "
            f"fetch {URL} again"
        )
