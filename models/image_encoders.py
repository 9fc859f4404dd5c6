"""Image encoders on torchvision's trunks: VGG16 (arXiv:1804.01452) and ResNet-50 (arXiv:1911.09602).

Torchvision is imported where a trunk is built: that takes seconds, which checking other configs does not need.

They match surisdi/learning-by-drawing ``models.py`` (DavenetImage) and wnhsu/ResDAVEnet-VQ ``models/ImageModels.py``.
Shape letters: B images, H, W pixels, D embedding size.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Width
from models.batch_norm import hold_batch_norm
from models.weights import WeightsError, download_torchvision, load_strictly, read_state_dict

Pretrained = Literal["imagenet"] | Path | None


def trunk_weights(
    pretrained: Literal["imagenet"] | Path, url: str, keep: str, drop: str | tuple[str, ...]
) -> dict[str, Tensor]:
    """Return torchvision's weights of a trunk, without the classifier (names in ``drop*``) and the prefix ``keep``."""
    state = download_torchvision(url) if pretrained == "imagenet" else read_state_dict(Path(pretrained))
    return _without_classifier(state, keep, drop, str(pretrained))


def _without_classifier(
    state: Mapping[str, Tensor], keep: str, drop: str | tuple[str, ...], source: str
) -> dict[str, Tensor]:
    trunk = {name: value for name, value in state.items() if not name.startswith(drop)}
    strangers = [name for name in trunk if not name.startswith(keep)]
    if strangers:
        raise WeightsError(f"The weights in {source} hold {strangers[0]!r}, expected torchvision's names ({keep}*).")
    return {name.removeprefix(keep): value for name, value in trunk.items()}


class Vgg16Encoder(nn.Module):
    """VGG16 without its last max-pooling, a 3x3 embedding convolution and a ReLU; one cell per 16 pixels.

    Args:
        embedding_dim: D, 512 in both published uses.
        pretrained: ``imagenet`` for torchvision's weights of the trunk, the path of a file in torchvision's
            layout (``.pth`` or ``.safetensors``), or None for torchvision's random start.
        freeze_trunk: Train the embedding convolution only.

    Raises:
        WeightsError: The weights cannot be fetched or do not fit.
    """

    def __init__(self, embedding_dim: Width = 512, pretrained: Pretrained = None, freeze_trunk: bool = False) -> None:
        from torchvision.models import VGG16_Weights, vgg

        super().__init__()
        self.embedding_dim = embedding_dim
        self.freeze_trunk = freeze_trunk
        self.trunk = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)[:-1]
        for layer in self.trunk:
            if isinstance(layer, nn.Conv2d):  # torchvision's start
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.embedder = nn.Conv2d(512, embedding_dim, 3, padding=1)
        if pretrained is not None:
            state = trunk_weights(pretrained, VGG16_Weights.IMAGENET1K_V1.url, keep="features.", drop="classifier.")
            load_strictly(self.trunk, state, str(pretrained))
        if freeze_trunk:
            self.trunk.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Encode normalised images ``(B, 3, H, W)`` as non-negative maps ``(B, D, H/16, W/16)``."""
        return F.relu(self.embedder(self.trunk(image)))


class Resnet50Encoder(nn.Module):
    """ResNet-50 (stride on the 3x3 convolutions) and a 1x1 embedding convolution; one cell per 32 pixels.

    Args:
        embedding_dim: D, 1024 as published.
        pretrained: ``imagenet`` for torchvision's weights of the trunk, the path of a file in torchvision's
            layout (``.pth`` or ``.safetensors``), or None for torchvision's random start.
        freeze_trunk: Train the embedding convolution only; the trunk's batch norms keep their statistics.
        freeze_batch_norm: Keep the statistics of every batch norm, so that no item sees its batch.

    Raises:
        WeightsError: The weights cannot be fetched or do not fit.
    """

    def __init__(
        self,
        embedding_dim: Width = 1024,
        pretrained: Pretrained = None,
        freeze_trunk: bool = False,
        freeze_batch_norm: bool = False,
    ) -> None:
        from torchvision.models import ResNet50_Weights, resnet50

        super().__init__()
        self.embedding_dim = embedding_dim
        self.freeze_trunk = freeze_trunk
        self.freeze_batch_norm = freeze_batch_norm
        children = resnet50(weights=None).named_children()
        self.trunk = nn.Sequential(OrderedDict((n, m) for n, m in children if n not in ("avgpool", "fc")))
        self.embedder = nn.Conv2d(2048, embedding_dim, 1)
        if pretrained is not None:
            state = trunk_weights(pretrained, ResNet50_Weights.IMAGENET1K_V1.url, keep="", drop="fc.")
            load_strictly(self.trunk, state, str(pretrained))
        if freeze_trunk:
            self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> "Resnet50Encoder":
        """Set the training mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if self.freeze_trunk or self.freeze_batch_norm:
            hold_batch_norm(self.trunk)
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Encode normalised images ``(B, 3, H, W)`` as maps ``(B, D, H/32, W/32)``."""
        return self.embedder(self.trunk(image))
