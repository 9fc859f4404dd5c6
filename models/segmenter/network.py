"""Networks that label each pixel with CLEVR attributes, and the segmenter made of one.

`DilatedSegmenter` is the published network: ResNet-50 with a three-convolution stem whose last two stages are dilated
instead of strided (stride 8), pyramid pooling (arXiv:1612.01105) and a deeply supervised decoder. It matches
``resnet50_dilated8`` and ``ppm_bilinear_deepsup`` in surisdi/learning-by-drawing ``gandissect/netdissect/segmodel``.
`SmallSegmenter` does the same job for 64-pixel images on a CPU.

Shape letters: B images, H, W pixels, h, w cells, C channels, L = 18 labels.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Resolution, Width
from models.batch_norm import BatchNorm
from models.imagenet import MEAN, STD
from models.segmenter.labels import (
    ATTRIBUTE_CATEGORIES,
    ATTRIBUTE_LABELS,
    SegmentationError,
    attribute_labels,
    check_images,
    label_maps,
)

POOLED = (1, 2, 3, 6)  # cells high and wide of the pyramid's levels
SMALLEST = 16  # pixels high and wide: the small network's coarsest map has two cells then


class Scores(NamedTuple):
    """Scores (logits) of all labels."""

    scores: Tensor  # ``(B, L, h, w)``
    # the same from an earlier layer, for training only; None where there is no such head or in evaluation
    deep: Tensor | None


def _convolution(channels_in: int, channels: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return a convolution, batch norm and ReLU."""
    convolution = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, BatchNorm(channels), nn.ReLU(inplace=True))


def _stage(channels_in: int, planes: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return bottlenecks; where they are dilated the first is dilated half as much, as published."""
    from torchvision.models.resnet import Bottleneck  # takes seconds, which checking configs does not need

    shortcut = nn.Sequential(nn.Conv2d(channels_in, 4 * planes, 1, stride, bias=False), BatchNorm(4 * planes))
    first = Bottleneck(channels_in, planes, stride, shortcut, dilation=max(1, dilation // 2), norm_layer=BatchNorm)
    rest = [Bottleneck(4 * planes, planes, dilation=dilation, norm_layer=BatchNorm) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class DilatedResnet50(nn.Module):
    """ResNet-50 with a three-convolution stem and stride 8 throughout its last three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 64, stride=2), _convolution(64, 64), _convolution(64, 128))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(128, 64, 3)
        self.layer2 = _stage(256, 128, 4, stride=2)
        self.layer3 = _stage(512, 256, 6, dilation=2)
        self.layer4 = _stage(1024, 512, 3, dilation=4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Encode normalised images as the maps of the last two stages, (B, 1024, H/8, W/8) and (B, 2048, H/8, W/8)."""
        early = self.layer3(self.layer2(self.layer1(self.pool(self.stem(image)))))
        return early, self.layer4(early)


class PyramidDecoder(nn.Module):
    """Pyramid pooling and two heads for ``labels`` (L)."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.pyramid = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(resolution),
                nn.Conv2d(2048, 512, 1, bias=False),
                BatchNorm(512),
                nn.ReLU(inplace=True),
            )
            for resolution in POOLED
        )
        channels = 2048 + 512 * len(POOLED)
        self.head = nn.Sequential(*_convolution(channels, 512), nn.Dropout2d(0.1), nn.Conv2d(512, labels, 1))
        self.deep = _convolution(1024, 512)
        self.deep_head = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(512, labels, 1))

    def forward(self, early: Tensor, late: Tensor) -> Scores:
        """Score the labels of each cell; the deep head runs in training only."""
        size = late.shape[2:]
        levels = [_resized(level(late), size) for level in self.pyramid]
        scores = self.head(torch.cat([late, *levels], 1))
        return Scores(scores, self.deep_head(self.deep(early)) if self.training else None)


class DilatedSegmenter(nn.Module):
    """The published attribute network, for images of 128 pixels; 49 million parameters.

    Args:
        labels: L, 18 as published.
    """

    def __init__(self, labels: int = len(ATTRIBUTE_LABELS)) -> None:
        super().__init__()
        self.encoder = DilatedResnet50()
        self.decoder = PyramidDecoder(labels)

    def forward(self, image: Tensor) -> Scores:
        """Score normalised images ``(B, 3, H, W)`` on a map of an eighth of their size."""
        return self.decoder(*self.encoder(image))


class SmallSegmenter(nn.Module):
    """A U-shaped network for 64-pixel images on a CPU: 40 million multiplications an image, 0.8 MB of weights.

    Its finest features have half the image's resolution; each of their cells scores four pixels.

    Args:
        widths: Channels at half, quarter and eighth resolution.
        labels: L.

    Raises:
        ValueError: A size is below one.
    """

    def __init__(self, widths: tuple[Width, Width, Width] = (24, 48, 96), labels: int = len(ATTRIBUTE_LABELS)) -> None:
        super().__init__()
        if min(*widths, labels) < 1:
            raise ValueError(f"SmallSegmenter needs positive widths and labels, got {widths} and {labels}.")
        self.widths = tuple(widths)
        half, quarter, eighth = widths
        self.at_half = nn.Sequential(_convolution(3, half, stride=2, kernel=5), _convolution(half, half))
        self.at_quarter = nn.Sequential(_convolution(half, quarter, stride=2), _convolution(quarter, quarter))
        self.at_eighth = nn.Sequential(_convolution(quarter, eighth, stride=2), _convolution(eighth, eighth))
        self.from_eighth = nn.Conv2d(eighth, quarter, 1)
        self.from_quarter = nn.Conv2d(quarter, quarter, 1)
        self.smooth = _convolution(quarter, quarter)
        joined = half + quarter
        self.head = nn.Sequential(
            nn.Conv2d(joined, joined, 1, bias=False), BatchNorm(joined), nn.ReLU(inplace=True),
            nn.Conv2d(joined, 4 * labels, 1), nn.PixelShuffle(2),
        )  # fmt: skip

    def features(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode normalised ``image`` (B, 3, H, W) at half, quarter and eighth resolution, ``widths`` channels."""
        half = self.at_half(image)
        quarter = self.at_quarter(half)
        return half, quarter, self.at_eighth(quarter)

    def forward(self, image: Tensor) -> Scores:
        """Score normalised images ``(B, 3, H, W)`` at their own size; there is no deep head."""
        half, quarter, eighth = self.features(image)
        coarse = self.from_eighth(eighth)
        coarse = self.smooth(self.from_quarter(quarter) + _resized(coarse, quarter.shape[2:]))
        scores = self.head(torch.cat([half, _resized(coarse, half.shape[2:])], 1))
        return Scores(scores[..., : image.shape[2], : image.shape[3]], None)


def _resized(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.interpolate(maps, size, mode="bilinear", align_corners=False)


class AttributeSegmenter(nn.Module):
    """Ground-truth segmenter of the paper, a `models.segmenter.labels.Segmenter`: 18 attribute labels of each pixel.

    Args:
        network: From normalised images ``(B, 3, H, W)`` to `Scores`.
        resolution: Pixels a height and width of the maps, 128 as published; None for the image's own.
    """

    def __init__(self, network: nn.Module, resolution: Resolution | None = None) -> None:
        super().__init__()
        self.network = network
        self.resolution = resolution
        self.labels = list(ATTRIBUTE_LABELS)
        self.categories = list(ATTRIBUTE_CATEGORIES)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1), persistent=False)

    def normalised(self, images: Tensor) -> Tensor:
        """Turn ``images`` (B, 3, R, R) in [-1, 1] into what the network takes, of the same shape."""
        return ((images.clamp(-1, 1) + 1) / 2 - self.mean) / self.std

    def forward(self, images: Tensor) -> Scores:
        """Return the logits ``(B, 18, H, W)`` at the maps' size of images ``(B, 3, R, R)`` float in [-1, 1].

        Values beyond are clipped, as when they are shown. Anything else ends in a SegmentationError.
        """
        check_images(images)
        own = tuple(images.shape[2:])
        if min(own) < SMALLEST:
            raise SegmentationError(f"images of {own} pixels; expected at least {SMALLEST} pixels high and wide")
        size = (self.resolution, self.resolution) if self.resolution else own
        scores = self.network(self.normalised(images))
        return Scores(*(None if part is None else _resized(part, size) for part in scores))

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return (B, 18, H, W) of ``images`` (B, 3, R, R) in [-1, 1]: softmax over all 18, as published."""
        return self(images).scores.softmax(1)

    @torch.no_grad()
    def segment(self, images: Tensor) -> Tensor:
        """Return ``(B, 18, H, W)`` bool, see `models.segmenter.labels.Segmenter`.

        Objects have one label of each attribute; "background" or "foreground" is everywhere.
        """
        return label_maps(attribute_labels(self(images).scores))
