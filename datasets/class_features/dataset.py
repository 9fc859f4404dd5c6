"""Image features by class, and documents of the classes, of which some are never seen in training.

Shape letters: n images, X feature size, C classes, V numbers of a document.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.errors import TooFewRowsError, UserError
from config import Problem
from config.limits import BatchSize, Seed
from datasets.digests import rows_digest
from datasets.loading.passes import Passes

Scaling = Literal["deviation", "variance", "range", "none"]


class ClassFeaturesError(UserError, ValueError):
    """Features, classes and documents that do not fit one another, or a file that does not hold them."""


class Labelled(NamedTuple):
    """Features of images and the class of each."""

    features: np.ndarray  # (n, X) float32
    classes: np.ndarray  # (n,) int64, rows of the documents


class HeldOut(NamedTuple):
    """Images that are not trained on."""

    classes: np.ndarray  # (U,) int64, rows of the documents of the unseen classes
    unseen: Labelled  # images of these
    seen: Labelled | None  # other images of the classes that are trained on; None where there are none


class FeatureSet:
    """Everything that is known of the classes; those that are trained on have the first documents.

    Args:
        source: what it was read from, for messages.
        names: of the C classes.
        documents: of the classes, (C, V) float32.
        seen_count: number of classes that are trained on.
        train: images of these.
        test: images of unseen classes, and perhaps of seen ones, that the report is about.
        validation: the same of other unseen classes, which choose the best weights; None where there are none.
        words: names of a document's V numbers; empty where not known.

    Raises:
        ClassFeaturesError: the parts do not fit, a value is not finite, or a seen class has no image.
    """

    def __init__(
        self,
        source: str,
        names: list[str],
        documents: np.ndarray,
        seen_count: int,
        train: Labelled,
        test: HeldOut,
        validation: HeldOut | None = None,
        words: Sequence[str] = (),
    ) -> None:
        self.source, self.names, self.documents, self.seen_count = source, names, documents, seen_count
        self.train, self.test, self.validation, self.words = train, test, validation, list(words)
        rows, size = len(self.documents), self.train.features.shape[-1]
        if self.documents.ndim != 2 or len(self.names) != rows or len(self.words) not in (0, self.documents.shape[1]):
            raise ClassFeaturesError(
                f"{self.source}: documents {self.documents.shape} of {len(self.names)} classes with {len(self.words)} "
                "named words; expected (C, V), C names, and V names or none"
            )
        if not 1 <= self.seen_count < rows:
            raise ClassFeaturesError(
                f"{self.source}: {self.seen_count} of {rows} classes are trained on; expected some, and not all"
            )
        for name, part, low, high in self._parts():
            _check_part(f"{self.source}, {name}", part, size, low, high)
        if not np.isfinite(self.documents).all():
            raise ClassFeaturesError(f"{self.source}: a document holds numbers that are not finite")
        empty = np.setdiff1d(np.arange(self.seen_count), self.train.classes)
        if len(empty):
            raise ClassFeaturesError(
                f"{self.source}: {len(empty)} of {self.seen_count} seen classes have no training image, the first is "
                f"{self.names[empty[0]]}; expected some of each"
            )

    def _parts(self) -> Iterator[tuple[str, Labelled, int, int]]:
        """Yield each part's name and images, and the rows of documents among which its classes are."""
        rows, seen = len(self.documents), self.seen_count
        yield "training", self.train, 0, seen
        for name, held in (("validation", self.validation), ("test", self.test)):
            if held is None:
                continue
            yield f"unseen {name}", held.unseen, seen, rows
            if held.seen is not None:
                yield f"seen {name}", held.seen, 0, seen
            if not np.isin(held.unseen.classes, held.classes).all() or held.classes.min(initial=seen) < seen:
                raise ClassFeaturesError(
                    f"{self.source}, unseen {name}: an image is of a class that is not among the split's unseen ones"
                )

    def pivots(self) -> np.ndarray:
        """Return the mean training feature of each seen class, (seen_count, X) float32."""
        features, classes = self.train
        return np.stack([features[classes == row].mean(axis=0) for row in range(self.seen_count)])


def _check_part(name: str, part: Labelled, size: int, low: int, high: int) -> None:
    features, classes = part
    if features.ndim != 2 or features.shape[1] != size or classes.shape != features.shape[:1] or not len(classes):
        raise ClassFeaturesError(
            f"{name} images: features {features.shape} and classes {classes.shape}; expected (n, {size}) and (n,), n "
            "from 1 on"
        )
    if not low <= classes.min() <= classes.max() < high:
        raise ClassFeaturesError(
            f"{name} images: classes from {classes.min()} to {classes.max()}, expected {low} to {high - 1}"
        )
    if not np.isfinite(features).all():
        raise ClassFeaturesError(f"{name} images: a feature is not finite; extract the features again")


class ClassFeatures:
    """Batches of features, scaled by what the training images are like.

    Args:
        content: node of the features and documents, such as datasets.class_features.world.world_classes.
        batch_size: images in a global batch, all processes together.
        scaling: ``deviation`` subtracts the mean of all training features and divides by their standard deviation, one
            number each; ``variance`` divides by the variance, as EthanZhu90/ZSL_GAN does for CUB and NAB; ``range``
            takes each feature's training images to 0-1, as it does for attributes; ``none`` leaves them as they are.
        seed: of the order, given by main.
        rank: given by main.
        world_size: given by main.

    Raises:
        ClassFeaturesError: the training features are all alike.
        TooFewRowsError: there are less training images than processes.
    """

    def __init__(
        self,
        content: FeatureSet,
        batch_size: BatchSize,
        scaling: Scaling = "deviation",
        seed: Seed = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        if len(content.train.classes) < world_size:
            raise TooFewRowsError(
                f"{content.source}: {len(content.train.classes)} training images for {world_size} processes; expected "
                "at least one each"
            )
        self.content = _scaled(content, scaling)
        self.passes = Passes(len(self.content.train.classes), seed)

    @property
    def feature_dim(self) -> int:
        """X."""
        return self.content.train.features.shape[1]

    @property
    def text_dim(self) -> int:
        """V."""
        return self.content.documents.shape[1]

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Return this rank's part of global batch ``number``: features (b, X) float32 and classes (b,) int64.

        Batches run through all training images in an order of its own each time.
        """
        share = self.batch_size // self.world_size
        first = number * self.batch_size + self.rank * share
        rows = self.passes.rows(first, share)
        features, classes = self.content.train
        return torch.from_numpy(features[rows]), torch.from_numpy(classes[rows])

    def digests(self) -> dict[str, str]:
        """Return number and digest of the training images and of the documents."""
        train = self.content.train
        rows = (feature.tobytes() + int(row).to_bytes(8, "big") for feature, row in zip(*train, strict=True))
        documents = (document.tobytes() for document in self.content.documents)
        return {
            "training set": rows_digest(rows, len(train.classes)),
            "documents": rows_digest(documents, len(self.content.documents)),
        }

    @staticmethod
    def validate(batch_size: int) -> Iterator[Problem]:
        """Yield the error of a batch that has no class means worth the name."""
        if batch_size < 2:
            yield "batch_size", f"found {batch_size}, expected at least 2 images"


def _scaled(content: FeatureSet, scaling: Scaling) -> FeatureSet:
    """Return the set with all features scaled by the training features' statistics."""
    train = content.train.features
    if scaling == "none":
        return content
    if scaling == "range":
        shift = train.min(axis=0)
        width = train.max(axis=0) - shift
        factor = np.where(width == 0, 1, width)
    else:
        values = train.astype(np.float64)
        shift, factor = values.mean(), values.var() if scaling == "variance" else values.std()
    if not np.any(train != train[0, 0]) or not np.all(factor > 0):
        raise ClassFeaturesError(f"{content.source}: all training features are alike, so they cannot be scaled")

    def scaled(part: Labelled) -> Labelled:
        return Labelled(((part.features - shift) / factor).astype(np.float32), part.classes)

    def held(part: HeldOut | None) -> HeldOut | None:
        return part and HeldOut(part.classes, scaled(part.unseen), part.seen and scaled(part.seen))

    return FeatureSet(
        content.source, content.names, content.documents, content.seen_count, scaled(content.train),
        held(content.test), held(content.validation), content.words,
    )  # fmt: skip
