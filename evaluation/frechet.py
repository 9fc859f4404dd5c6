"""Fréchet distance between the features of generated images and those of real ones.

d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) for Gaussians with the features' means m and covariances C
(arXiv:1706.08500, equation 6). A value means something only beside its protocol: the feature network,
how many images, at which resolution, resized how. Smaller is better.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Annotated, Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from common.errors import UserError
from config.limits import Resolution, Seed, Width
from models.segmenter.labels import Segmenter


class GenerationError(UserError, ValueError):
    """Generated images cannot be measured as asked."""


class FeatureNetwork(Protocol):
    """Turn images into the features by which they are compared; names are for the protocol."""

    name: str  # network and weights
    resize: str  # its way of resizing images

    def __call__(self, images: Tensor) -> Tensor:
        """Return features (B, D) of images (B, 3, R, R) uint8."""


class RandomFeatures(nn.Module):
    """Untrained convolutions with fixed weights, of which means and deviations over four quarters are taken.

    They need no files and are quick, so they serve to follow a training; they are no replacement for trained features.

    Args:
        width: channels of the last convolution; D is 8 * width.
        seed: of the weights.
        size: images are resized to it, pixels.
    """

    def __init__(self, width: Width = 64, seed: Seed = 0, size: Resolution = 64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        channels = (3, 16, 32, width)
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.randn(o, i, 3, 3, generator=generator) * (2 / (9 * i)) ** 0.5, requires_grad=False)
            for i, o in pairwise(channels)
        )
        self.size = size
        self.name = f"random convolutions {channels}, seed {seed}"
        self.resize = f"bilinear with antialiasing to {size}"

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, 8 * width) features of (B, 3, R, R) uint8."""
        maps = images.to(self.kernels[0]).div(127.5).sub(1)
        if maps.shape[-1] != self.size:
            maps = F.interpolate(maps, size=(self.size, self.size), mode="bilinear", antialias=True)
        for kernel in self.kernels:
            maps = F.leaky_relu(F.conv2d(maps, kernel, stride=2, padding=1), 0.2)
        mean = F.adaptive_avg_pool2d(maps, 2)
        std = (F.adaptive_avg_pool2d(maps.square(), 2) - mean.square()).clamp_min(0).sqrt()
        return torch.cat([mean.flatten(1), std.flatten(1)], dim=1)


class LabelFeatures:
    """The share of pixels with each label in the cells of a grid: which attributes an image shows, and where.

    Args:
        segmenter: says which labels a pixel has.
        name: which segmenter, for the protocol.
        cells: rows and columns of the grid; D is labels * cells^2.
    """

    resize = "none"

    def __init__(
        self, segmenter: Segmenter, name: str = "attribute segmenter", cells: Annotated[int, Field(gt=0, le=64)] = 2
    ) -> None:
        self.segmenter, self.cells = segmenter, cells
        self.name = f"shares of {len(segmenter.labels)} labels in {cells} x {cells} cells, {name}"

    def __call__(self, images: Tensor) -> Tensor:
        """Return (B, L * cells^2) features of (B, 3, R, R) uint8."""
        if isinstance(self.segmenter, nn.Module):
            images = images.to(next(self.segmenter.parameters()).device)  # wherever those who ask have theirs
        maps = self.segmenter.segment(images.float().div(127.5).sub(1)).float()
        return F.adaptive_avg_pool2d(maps, self.cells).flatten(1)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (D,) and unbiased covariance (D, D) of features (N, D), float64.

    Raises GenerationError where there are fewer than two rows, or values that are not finite.
    """
    if features.ndim != 2 or len(features) < 2 or not np.isfinite(features).all():
        raise GenerationError(f"found features {features.shape}; expected at least 2 rows of finite numbers")
    features = features.astype(np.float64)
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Return the squared Fréchet distance of two Gaussians with means (D,) and covariances (D, D).

    tr((Ca Cb)^(1/2)) is the sum of the roots of the eigenvalues of Ca^(1/2) Cb Ca^(1/2), which is symmetric and
    non-negative, so that no complex number appears where covariances are singular.
    """
    from scipy import linalg

    values, vectors = linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    roots = np.sqrt(linalg.eigvalsh(root @ cov_b @ root).clip(0))
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum()
    return float(max(distance, 0.0))


@dataclass(frozen=True)
class FrechetDistance:
    """A distance with the protocol it was measured with."""

    value: float  # squared Fréchet distance of the features
    generated: int  # number of images
    real: int  # number of images
    resolution: int  # height and width of the images before any resizing, pixels
    features: str  # name of the network
    resize: str  # its way of resizing

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


@torch.no_grad()
def features_of(batches: Iterable[Tensor], network: FeatureNetwork) -> np.ndarray:
    """Return the features (N, D) float64 of batches of images (B, 3, R, R) uint8.

    Raises GenerationError where there are no batches.
    """
    rows = [network(batch).double().cpu().numpy() for batch in batches]
    if not rows:
        raise GenerationError("there are no images to measure")
    return np.concatenate(rows)


def frechet_distance(
    generated: np.ndarray, real: np.ndarray, network: FeatureNetwork, resolution: int
) -> FrechetDistance:
    """Return the distance of features (N, D) of generated images and (M, D) of real ones, with its protocol.

    ``resolution`` is the height and width of the images, pixels. Raises GenerationError where there are fewer than two
    rows of either, or values that are not finite. arXiv:1706.08500.
    """
    value = frechet(*moments(generated), *moments(real))
    return FrechetDistance(value, len(generated), len(real), resolution, network.name, network.resize)


def to_uint8(images: Tensor) -> Tensor:
    """Turn ``images`` in [-1, 1] into uint8 0-255 of the same shape, rounded and clipped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
