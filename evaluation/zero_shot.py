"""Classes of images that were never trained on, recognised by generated features: accuracy, and the seen-unseen curve.

A class without images is known by a document alone. A generator makes features of it; images are given the class of
the generated features that are nearest by cosine. As EthanZhu90/ZSL_GAN ``train_CUB.py`` (arXiv:1712.01381) and, of the
harmonic mean, ``train_GBU.py`` (arXiv:1707.00600).

Shape letters: n images, m generated features, X feature size, C classes.
"""

from typing import NamedTuple

import numpy as np

from common.errors import UserError

NEIGHBOURS = 20
OFFSETS = np.arange(-2, 2, 0.01)  # added to the similarity of unseen classes
ROWS = 1024  # images that are compared at a time


class ZeroShotError(UserError, ValueError):
    """Features, or classes, that cannot be compared."""


class SeenUnseen(NamedTuple):
    """Accuracies when seen and unseen classes compete, for each offset that favours the unseen ones."""

    offsets: np.ndarray  # (K,)
    seen: np.ndarray  # (K,) share of right answers (0-1) for images of seen classes, falling
    unseen: np.ndarray  # (K,) the same for images of unseen classes, rising

    @property
    def area(self) -> float:
        """Area under the accuracy of seen classes over that of unseen classes, 0 to 1, by the trapezoidal rule."""
        return float(np.trapezoid(self.seen, self.unseen))


def cosines(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the cosine of features (n, X) with each of others (m, X), (n, m); 0 for features of zeros."""
    return _unit(features) @ _unit(others).T


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms)


def nearest_classes(
    features: np.ndarray, generated: np.ndarray, classes: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Return for each image the class that most of its nearest generated features have, the lowest among equals.

    Args:
        features: (n, X) of images.
        generated: (m, X).
        classes: (m,) of the generated features, int from 0 on.
        neighbours: number of generated features that vote, at most all.

    Returns:
        Classes (n,) int64.

    Raises:
        ZeroShotError: the sizes do not fit, or there is nothing to compare with.
    """
    if features.ndim != 2 or features.shape[1:] != generated.shape[1:] or generated.shape[:1] != classes.shape:
        raise ZeroShotError(
            f"found features {features.shape}, generated ones {generated.shape} of {len(classes)} classes' entries; "
            "expected (n, X), (m, X) and (m,)"
        )
    if not len(generated) or neighbours < 1:
        raise ZeroShotError(f"{neighbours} neighbours of {len(generated)} generated features; expected at least one")
    names, members = np.unique(classes, return_inverse=True)
    found = np.empty(len(features), np.int64)
    for first in range(0, len(features), ROWS):
        similarity = cosines(features[first : first + ROWS], generated)
        nearest = members[np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]]
        votes = np.zeros((len(nearest), len(names)), np.int64)
        np.add.at(votes, (np.arange(len(nearest))[:, None], nearest), 1)
        found[first : first + ROWS] = names[votes.argmax(axis=1)]
    return found


def accuracy(found: np.ndarray, classes: np.ndarray) -> float:
    """Return the share of images (n,) whose class was found, 0 to 1; a ZeroShotError where there is none."""
    _check_answers(found, classes)
    return float((found == classes).mean())


def class_accuracy(found: np.ndarray, classes: np.ndarray) -> float:
    """Return the mean over classes of the share of a class's images that were found; errors as :func:`accuracy`."""
    _check_answers(found, classes)
    return float(np.mean([(found[classes == name] == name).mean() for name in np.unique(classes)]))


def _check_answers(found: np.ndarray, classes: np.ndarray) -> None:
    if found.shape != classes.shape or not len(classes):
        raise ZeroShotError(f"found {found.shape} answers for {classes.shape} images; expected one each, and some")


def harmonic_mean(seen: float, unseen: float) -> float:
    """Return the harmonic mean of two accuracies, 0 where one is 0."""
    return 2 * seen * unseen / (seen + unseen) if seen and unseen else 0.0


def seen_unseen_curve(
    seen: np.ndarray,
    seen_classes: np.ndarray,
    unseen: np.ndarray,
    unseen_classes: np.ndarray,
    pivots: np.ndarray,
    is_unseen: np.ndarray,
    offsets: np.ndarray = OFFSETS,
) -> SeenUnseen:
    """Return how accuracy moves from seen to unseen classes as an offset is added to the unseen ones' similarity.

    Each image is given the class whose pivot, the mean of its generated features, is nearest by cosine; the lowest
    among equals, as published.

    Args:
        seen: (n, X) features of images of seen classes.
        seen_classes: (n,) int, rows of ``pivots``.
        unseen: (k, X) features of images of unseen classes.
        unseen_classes: (k,) int, rows of ``pivots``.
        pivots: (C, X) of all classes.
        is_unseen: (C,) bool.
        offsets: (K,) in units of cosine, rising.

    Raises:
        ZeroShotError: there are no images, or no class, of one of both kinds.
    """
    if not len(seen) or not len(unseen) or is_unseen.all() or not is_unseen.any():
        raise ZeroShotError(
            f"{len(seen)} images of {np.sum(~is_unseen)} seen and {len(unseen)} of {np.sum(is_unseen)} unseen classes; "
            "expected images and classes of both kinds"
        )
    curves = [_right(*part, pivots, is_unseen, offsets) for part in ((seen, seen_classes), (unseen, unseen_classes))]
    return SeenUnseen(offsets, *curves)


def _right(
    features: np.ndarray, classes: np.ndarray, pivots: np.ndarray, is_unseen: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return the share of right answers for each offset, (K,).

    The offset decides only between the best seen and the best unseen class of an image.
    """
    similarity = cosines(features, pivots)
    best, answers = [], []
    for side in (~is_unseen, is_unseen):
        rows = np.flatnonzero(side)
        nearest = similarity[:, rows].argmax(axis=1)
        best.append(similarity[np.arange(len(features)), rows[nearest]])
        answers.append(rows[nearest])
    known, novel = best
    shifted = novel[:, None] + offsets
    to_unseen = (shifted > known[:, None]) | ((shifted == known[:, None]) & (answers[1] < answers[0])[:, None])
    return np.where(to_unseen, answers[1][:, None] == classes[:, None], answers[0][:, None] == classes[:, None]).mean(0)
