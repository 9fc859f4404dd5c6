"""Distances, score and coverage of generated images by their features, each with its protocol.

FID (arXiv:1706.08500) is that of `evaluation.frechet`; KID (arXiv:1801.01401), precision and recall (arXiv:1904.06991)
and the inception score (arXiv:1606.03498) are torch-fidelity's functions of features. A figure means something only
beside its protocol, and two figures can be compared only where their protocols are equal.

Shape letters: N generated images, M real ones, D features.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from config.limits import Count, Seed
from evaluation.frechet import FeatureNetwork, GenerationError, frechet_distance

BIRDS_NOTE = "not comparable with 4.36: that used StackGAN's fine-tuned network"


@runtime_checkable
class Classifier(FeatureNetwork, Protocol):
    """Network of features that also classifies, which inception scores need."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits (N, K) of features (N, D)."""


@dataclass(frozen=True)
class MetricSettings:
    """Numbers on which the figures depend; the defaults are torch-fidelity's.

    Attributes:
        kid_subsets: draws of which KID is the mean.
        kid_subset_size: images of each draw; of fewer images all are taken, and the protocol says so.
        neighbours: the distance to the neighbour of this number is the radius of an image's ball in precision and
            recall.
        splits: parts of which the inception score is the mean.
        seed: of draws and parts.
    """

    kid_subsets: Count = 100
    kid_subset_size: Count = 1000
    neighbours: Count = 3
    splits: Count = 10
    seed: Seed = 2020


class Figure(NamedTuple):
    """One figure: the mean of draws where it has a deviation."""

    value: float
    std: float | None  # None where nothing is drawn
    better: str  # "lower" or "higher"
    protocol: str  # what holds of it beside the table's own protocol


@dataclass(frozen=True)
class ImageMetrics:
    """Figures of one feature network."""

    figures: dict[str, Figure]  # by name: fid, kid, precision, recall, and of a classifier inception_score
    generated: int  # images
    real: int  # images
    resolution: int  # height and width of both before the network's own resizing, pixels
    features: str  # network and weights
    resize: str  # its way of resizing
    settings: MetricSettings = field(default_factory=MetricSettings)

    @property
    def protocol(self) -> str:
        """Return the protocol that all figures share, in words."""
        return (
            f"{self.generated} generated and {self.real} real images of {self.resolution} pixels, "
            f"resized {self.resize}, features of {self.features}, seed {self.settings.seed}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self) | {"figures": {name: one._asdict() for name, one in self.figures.items()}}


def image_metrics(
    generated: np.ndarray,
    real: np.ndarray,
    network: FeatureNetwork,
    resolution: int,
    settings: MetricSettings = MetricSettings(),
    score_note: str = "",
) -> ImageMetrics:
    """Measure the features (N, D) of generated images against those (M, D) of real ones.

    Args:
        generated: features of the generated images.
        real: features of the real ones.
        network: that they come from; one with ``logits`` gives an inception score too.
        resolution: height and width of the images, pixels.
        settings: numbers on which the figures depend.
        score_note: what is said beside the inception score.

    Raises:
        GenerationError: there are too few images, or features that are not finite.
    """
    check_enough_images(len(generated), len(real), settings)
    distance = frechet_distance(generated, real, network, resolution)
    few = (
        "; fewer images than features, so that it is too high by chance" if len(generated) <= generated.shape[1] else ""
    )
    figures = {"fid": Figure(distance.value, None, "lower", f"covariances of {generated.shape[1]} features{few}")}
    figures["kid"] = kernel_distance(generated, real, settings)
    figures |= _precision_recall(generated, real, settings)
    if isinstance(network, Classifier):
        figures["inception_score"] = _inception_score(network.logits(generated), settings, score_note)
    return ImageMetrics(figures, len(generated), len(real), resolution, network.name, network.resize, settings)


def check_enough_images(generated: int, real: int, settings: MetricSettings) -> None:
    """Raise GenerationError where there are too few images for the figures."""
    least = max(settings.neighbours + 1, 2)
    if min(generated, real) < least:
        raise GenerationError(f"found {generated} generated and {real} real images; expected at least {least} of each")


def kernel_distance(generated: np.ndarray, real: np.ndarray, settings: MetricSettings) -> Figure:
    """Return the KID of features (N, D) of generated images and (M, D) of real ones. arXiv:1801.01401."""
    from torch_fidelity.metric_kid import kid_features_to_metric  # torch-fidelity's import takes seconds

    size = min(settings.kid_subset_size, len(generated), len(real))
    found = kid_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(real),
        kid_subsets=settings.kid_subsets,
        kid_subset_size=size,
        rng_seed=settings.seed,
        verbose=False,
    )
    mean, std = (found[f"kernel_inception_distance_{name}"] for name in ("mean", "std"))
    if size == len(generated) == len(real):  # the draws are all the same
        return Figure(mean, None, "lower", f"cubic kernel, unbiased, of all {size} images")
    return Figure(mean, std, "lower", f"cubic kernel, unbiased, {settings.kid_subsets} draws of {size} images")


def _precision_recall(generated: np.ndarray, real: np.ndarray, settings: MetricSettings) -> dict[str, Figure]:
    from torch_fidelity.metric_prc import prc_features_to_metric

    found = prc_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(real),
        prc_neighborhood=settings.neighbours,
        prc_batch_size=2048,  # images that are compared at a time; no figure depends on it
        save_cpu_ram=True,
        verbose=False,
    )
    ball = f"balls that reach the neighbour number {settings.neighbours}"
    return {name: Figure(found[name], None, "higher", ball) for name in ("precision", "recall")}


def _inception_score(logits: np.ndarray, settings: MetricSettings, note: str) -> Figure:
    from torch_fidelity.metric_isc import isc_features_to_metric

    splits = min(settings.splits, len(logits))
    found = isc_features_to_metric(torch.from_numpy(logits), splits=splits, rng_seed=settings.seed)
    protocol = f"{splits} parts of {len(logits) // splits} images, {logits.shape[1]} classes"
    mean, std = (found[f"inception_score_{name}"] for name in ("mean", "std"))
    return Figure(mean, std, "higher", f"{protocol}; {note}" if note else protocol)
