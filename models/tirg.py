"""Compose an image's map and an instruction so that the result is the map of the next image (TIRG, arXiv:1812.07119).

LatteGAN trains its text encoders in it before any image is generated. Must match smatsumori/LatteGAN
``src/modules/retrieval/tirg.py`` and ``tirg_spade.py`` (parity kind ``tirg_text``).

Shape letters: B pairs, C channels of the image's map, D size of the text's embeddings, H, W height and width of a map,
L words, N hidden channels, K classes of objects.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from config.limits import Count, Width
from models.batch_norm import BatchNorm
from models.image_encoders import Pretrained, trunk_weights
from models.object_localizer import ObjectLocalizer, PointsTrunk
from models.weights import load_strictly

POSITIONS = 256  # of 16 x 16 at most


class TirgError(UserError, ValueError):
    """A network that cannot be made, or a call that does not fit it."""


class Composed(NamedTuple):
    """What a TIRG makes of images and instructions."""

    maps: Tensor  # (B, C, H, W), to be those of the next image
    gate: Tensor  # (B, C or 1, H, W) in 0-1, open where nothing changes
    objects: Tensor  # (B, K) logits that an object of each class was added, read off the gate


def convolved(channels: int, out_channels: int, size: int = 3) -> nn.Sequential:
    """Return a convolution, batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(channels, out_channels, size, padding=size // 2), BatchNorm(out_channels), nn.ReLU())


class TextAttention(nn.Module):
    """Attend from every position of a map to the words, by one head, and normalise.

    Args:
        channels: of the map.
        text_dim: D.
        hidden: N; other channels than these are first made into as many.
        positions: learn where a position is.
    """

    def __init__(self, channels: int, text_dim: int, hidden: int, positions: bool) -> None:
        super().__init__()
        self.query = nn.Identity() if channels == hidden else convolved(channels, hidden, 1)
        self.attention = nn.MultiheadAttention(hidden, 1, kdim=text_dim, vdim=text_dim, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.position, self.uses_positions = nn.Embedding(POSITIONS, hidden), positions

    def forward(self, maps: Tensor, memory: Tensor, ignored: Tensor) -> Tensor:
        """Return (B, N, H, W) of maps (B, C, H, W), a memory (B, L, D) and what to ignore of it (B, L) bool."""
        query = self.query(maps)
        height, width = query.shape[2:]
        rows = query.flatten(2).transpose(1, 2)
        if self.uses_positions:
            if height * width > POSITIONS:
                raise TirgError(f"found maps of {height} x {width}, expected {POSITIONS} positions at most")
            rows = rows + self.position(torch.arange(height * width, device=maps.device))
        found, _ = self.attention(rows, memory, memory, key_padding_mask=ignored, need_weights=False)
        return self.norm(found).transpose(1, 2).unflatten(2, (height, width))


class SelfAttention(nn.Module):
    """Attend from every position of a map to all others, then batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(channels, 1, batch_first=True), BatchNorm(channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Transform (B, C, H, W)."""
        rows = maps.flatten(2).transpose(1, 2)
        found, _ = self.attention(rows, rows, rows, need_weights=False)
        return F.relu(self.norm(found.transpose(1, 2).unflatten(2, maps.shape[2:])))


class _Composition(nn.Module):
    """What both networks share: features of image and text, the gate, and how the two ends are weighed."""

    def __init__(
        self,
        image_dim: int,
        text_dim: int,
        hidden: int,
        attention: bool,
        positions: bool,
        channel_gate: bool,
        mask_residual: bool,
        fused: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.image_dim, self.text_dim, self.mask_residual = image_dim, text_dim, mask_residual
        self.gate_weight, self.residual_weight = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.fused = fused or nn.Identity()
        channels = image_dim + text_dim if fused is None else hidden
        self.attention = TextAttention(channels, text_dim, hidden, positions) if attention else None
        self.features_dim = channels + (hidden if attention else 0)
        self.before = convolved(self.features_dim, hidden)
        self.gate = nn.Conv2d(hidden, image_dim if channel_gate else 1, 3, padding=1)

    def features(self, image: Tensor, sentences: Tensor, memory: Tensor, ignored: Tensor) -> Tensor:
        """Return (B, features_dim, H, W), after checking the inputs."""
        expected = (len(image), self.text_dim)
        if image.dim() != 4 or image.shape[1] != self.image_dim or sentences.shape != expected:
            raise TirgError(
                f"found maps {tuple(image.shape)} and sentences {tuple(sentences.shape)}; expected "
                f"(B, {self.image_dim}, H, W) and {expected}"
            )
        tiled = sentences[:, :, None, None].expand(-1, -1, *image.shape[2:])
        features = self.fused(torch.cat((image, tiled), dim=1))
        if self.attention is None:
            return features
        return torch.cat((features, self.attention(features, memory, ignored)), dim=1)

    def weighed(self, image: Tensor, residual: Tensor, gate: Tensor) -> Tensor:
        """Keep the image where the gate is open and add the residual."""
        if self.mask_residual:
            residual = (1 - gate) * residual
        return self.gate_weight * (gate * image) + self.residual_weight * residual


class Tirg(_Composition):
    """Gate the image's map and add a residual.

    Args:
        image_dim: C; given by the task.
        text_dim: D; given by the task.
        num_objects: K; given by the task. The public code has 58 whatever the data.
        hidden: N (``hidden_dim``).
        attention: attend to the words (``sta_concat``).
        positions: the attention knows where a position is (``use_pos_emb``).
        self_attention: of the fused maps (``fused``: ``sa_fused``), of the gate's features (``gate``: ``sa_gate``),
            both, or none.
        channel_gate: a gate for each channel (``multi_channel_gate``).
        mask_features: make the residual of features that are masked by the gate (``res_mask``).
        mask_residual: add the residual only where the gate is closed (``res_mask_post``).
        last: one more convolution at the end (``use_conv_final``).

    Raises:
        TirgError: features cannot be masked by a gate of each channel.
    """

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        num_objects: Count,
        hidden: Width = 512,
        attention: bool = True,
        positions: bool = True,
        self_attention: Literal["none", "fused", "gate", "both"] = "none",
        channel_gate: bool = True,
        mask_features: bool = False,
        mask_residual: bool = True,
        last: bool = False,
    ) -> None:
        if mask_features and channel_gate:
            raise TirgError("mask_features needs one gate for all channels: expected channel_gate false")
        fused = None
        if self_attention in ("fused", "both"):
            fused = nn.Sequential(convolved(image_dim + text_dim, hidden), SelfAttention(hidden))
        super().__init__(image_dim, text_dim, hidden, attention, positions, channel_gate, mask_residual, fused)
        self.channel_gate, self.mask_features = channel_gate, mask_features
        self.gate_attention = SelfAttention(hidden) if self_attention in ("gate", "both") else nn.Identity()
        self.detector = nn.Linear(image_dim if channel_gate else hidden, num_objects)
        self.residual = nn.Sequential(*convolved(self.features_dim, hidden), *convolved(hidden, image_dim))
        self.last = convolved(image_dim, image_dim, 1) if last else nn.Identity()

    def forward(self, image: Tensor, sentences: Tensor, memory: Tensor, ignored: Tensor) -> Composed:
        """Compose maps (B, C, H, W) and sentences (B, D); memory (B, L, D), ignored (B, L) bool where it ends."""
        features = self.features(image, sentences, memory, ignored)
        before = self.gate_attention(self.before(features))
        gate = self.gate(before).sigmoid()
        objects = self.detector((gate if self.channel_gate else before).mean(dim=(2, 3)))
        residual = self.residual((1 - gate) * features if self.mask_features else features)
        return Composed(self.last(self.weighed(image, residual, gate)), gate, objects)


class _Spade(nn.Module):
    """Normalise a map, then scale and shift each position as the features there say (arXiv:1903.07291)."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Conv2d(features, channels, 3, padding=1) for _ in range(2))
        self.norm = BatchNorm(channels, affine=False)

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        return self.scale(features) * self.norm(maps) + self.shift(features)


class TirgSpade(_Composition):
    """Gate the image's map and add a residual that it becomes where the gate's features normalise it (``with_spade``).

    Args: as of :class:`Tirg`.
    """

    def __init__(
        self,
        image_dim: Width,
        text_dim: Width,
        num_objects: Count,
        hidden: Width = 512,
        attention: bool = True,
        positions: bool = True,
        channel_gate: bool = True,
        mask_residual: bool = True,
    ) -> None:
        super().__init__(image_dim, text_dim, hidden, attention, positions, channel_gate, mask_residual)
        self.detector = nn.Linear(hidden, num_objects)
        self.convolutions = nn.ModuleList(nn.Conv2d(image_dim, image_dim, 3, padding=1) for _ in range(2))
        self.spades = nn.ModuleList(_Spade(hidden, image_dim) for _ in range(2))

    def forward(self, image: Tensor, sentences: Tensor, memory: Tensor, ignored: Tensor) -> Composed:
        """Compose as :meth:`Tirg.forward`."""
        before = self.before(self.features(image, sentences, memory, ignored))
        gate, residual = self.gate(before).sigmoid(), image
        for conv, spade in zip(self.convolutions, self.spades, strict=True):
            residual = F.relu(spade(conv(residual), before))
        return Composed(self.weighed(image, residual, gate), gate, self.detector(before.mean(dim=(2, 3))))


class FrozenResnet18(nn.Module):
    """ResNet-18 up to a stage, which stays as it is: the maps that are to be found.

    Args:
        depth: 4 or 5 as published (maps of a sixteenth or a thirty-second of the resolution, 256 or 512 channels), 3.
        pretrained: ``imagenet`` for torchvision's weights, the path of a file in torchvision's layout, or None.

    Raises:
        WeightsError: The weights cannot be fetched or do not fit.
    """

    def __init__(self, depth: Literal[3, 4, 5] = 4, pretrained: Pretrained = None) -> None:
        from torchvision.models import ResNet18_Weights, resnet18  # takes seconds

        super().__init__()
        network = resnet18(weights=None)
        if pretrained is not None:
            state = trunk_weights(pretrained, ResNet18_Weights.IMAGENET1K_V1.url, keep="", drop="fc.")
            network.fc = nn.Identity()
            load_strictly(network, state, str(pretrained))
        self.trunk = nn.Sequential(*list(network.children())[: depth + 3])
        self.trunk.requires_grad_(False)
        self.channels = 512 // 2 ** (5 - depth)

    def train(self, mode: bool = True) -> "FrozenResnet18":
        """Set the training mode; the trunk stays in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return maps of images (B, 3, R, R) in [-1, 1], fed as published without ImageNet's normalisation."""
        return self.trunk(images)


class LocalizerTrunk(nn.Module):
    """The maps of a trained localiser, which stay as they are: where no ImageNet weights are at hand, or of a world.

    Args:
        localizer: with a PointsTrunk; models.object_localizer.load_localizer reads one.

    Raises:
        TirgError: it has another trunk.
    """

    def __init__(self, localizer: ObjectLocalizer) -> None:
        super().__init__()
        if not isinstance(localizer.trunk, PointsTrunk):
            raise TirgError(f"the localiser has a {type(localizer.trunk).__name__}, expected one with a PointsTrunk")
        self.trunk, self.channels = localizer.trunk.eval().requires_grad_(False), localizer.trunk.features

    def train(self, mode: bool = True) -> "LocalizerTrunk":
        """Set the training mode; the trunk stays in evaluation mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return maps (B, C, R / 8, R / 8) of images (B, 3, R, R) in [-1, 1]."""
        return F.max_pool2d(self.trunk.maps((images + 1) / 2), 2)
