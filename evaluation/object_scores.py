"""Scores of generated scenes by the objects in them: which are there, and how they lie to each other.

Six scores of each image: Jaccard index, precision, recall and F1 of the objects; cosine similarity of the detector's
probabilities; and the similarity of the two graphs of relations (RSIM). They are means over all turns or over the last
turn of each scene, against the detector's reading of the true image or against the true labels: published tables mix
these, so every number says which. Must match Maluuba/GeNeVA ``geneva/metrics/inception_localizer.py`` and
smatsumori/LatteGAN ``src/modules/metrics/inception_localizer.py`` (parity kind ``geneva_losses``).

Shape letters: N images, K classes of objects, C coordinates, 2 or 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.errors import UserError

THRESHOLD = 0.5  # probability above which an object counts as there
CENTRE = 0.5  # of the image
CHUNK = 256  # images compared at a time
SCORES = ("jaccard", "precision", "recall", "f1", "cosine", "rsim")


class ObjectScoreError(UserError, ValueError):
    """Arrays that cannot be compared."""


@dataclass(frozen=True)
class Objects:
    """Objects of N images.

    Attributes:
        probabilities: (N, K) in 0-1, or 0 and 1 of true labels.
        locations: (N, K, C) as shares of the image: x and y, or x, y and depth.
    """

    probabilities: np.ndarray
    locations: np.ndarray

    def __post_init__(self) -> None:
        """Refuse arrays of other shapes."""
        shapes = np.shape(self.probabilities), np.shape(self.locations)
        if len(shapes[0]) != 2 or shapes[1][:2] != shapes[0] or len(shapes[1]) != 3 or shapes[1][2] not in (2, 3):
            raise ObjectScoreError(
                f"found probabilities {shapes[0]} and locations {shapes[1]}; expected (N, K) and (N, K, 2 or 3)"
            )

    @property
    def there(self) -> np.ndarray:
        """(N, K) bool, which objects count as there."""
        return self.probabilities > THRESHOLD


def scores_of_images(found: Objects, truth: Objects) -> dict[str, np.ndarray]:
    """Compare images one by one.

    Args:
        found: objects of the generated images, as a localiser reads them.
        truth: objects of the true images, as a localiser reads them or as they are labelled.

    Returns:
        :data:`SCORES`, (N,) each, 0-1. Precision, recall and F1 are 0 where they are undefined; the Jaccard index of
        two images without objects is 1; RSIM is 0 where no object is in both.

    Raises:
        ObjectScoreError: the two are not of the same images, classes or coordinates.
    """
    if found.locations.shape != truth.locations.shape:
        raise ObjectScoreError(
            f"found objects {found.locations.shape} and true ones {truth.locations.shape}; expected the same images, "
            "classes and coordinates: the localiser is of another data set"
        )
    is_found, is_there = found.there, truth.there
    both, either = (is_found & is_there).sum(axis=1), (is_found | is_there).sum(axis=1)
    recall = _share(both, is_there.sum(axis=1))
    norms = np.linalg.norm(found.probabilities, axis=1) * np.linalg.norm(truth.probabilities, axis=1)
    return {
        "jaccard": np.where(either == 0, 1.0, _share(both, either)),
        "precision": _share(both, is_found.sum(axis=1)),
        "recall": recall,
        "f1": _share(2 * both, is_found.sum(axis=1) + is_there.sum(axis=1)),
        "cosine": _share((found.probabilities * truth.probabilities).sum(axis=1), norms),
        "rsim": recall * relation_agreement(is_found & is_there, found.locations, truth.locations),
    }


def relation_agreement(both: np.ndarray, locations: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return for each image the share of relations between its common objects that agree, (N,), 0 where there is none.

    A relation is whether one object lies left of, right of or level with another, likewise in front; each object is
    compared with the middle of the image too. ``both`` (N, K) bool are the objects in both images.
    """
    shares = [
        _agreement(both[first : first + CHUNK], locations[first : first + CHUNK], truth[first : first + CHUNK])
        for first in range(0, len(both), CHUNK)
    ]
    return np.concatenate(shares) if shares else np.zeros(0)


def relations(locations: np.ndarray) -> np.ndarray:
    """Return (N, 2, K, K): 1, -1 or 0 where object i lies beyond, before or level with j, in x and in y.

    y is the second of two coordinates and the last (depth) of three; on the diagonal stands the image's middle.
    """
    plane = locations[:, :, [0, locations.shape[2] - 1]].transpose(0, 2, 1)  # (N, 2, K)
    signs = np.sign(plane[:, :, :, None] - plane[:, :, None])
    diagonal = np.arange(plane.shape[2])
    signs[:, :, diagonal, diagonal] = np.sign(plane - CENTRE)
    return signs


def confusion(found: Objects, truth: Objects) -> np.ndarray:
    """Return counts (K, 2, 2) of images by class: rows are whether it is there, columns whether it is found."""
    is_found, is_there = found.there, truth.there
    cells = [[(~is_there & ~is_found), (~is_there & is_found)], [(is_there & ~is_found), (is_there & is_found)]]
    return np.array([[cell.sum(axis=0) for cell in row] for row in cells], dtype=np.int64).transpose(2, 0, 1)


def summarise(by_image: Mapping[str, np.ndarray], last: np.ndarray) -> dict[str, float]:
    """Return the means over all turns and over last turns, named ``f1_all``, ``f1_last`` ...

    Args:
        by_image: scores of images, (N,) each.
        last: (N,) bool, true of the last image of each scene.

    Raises:
        ObjectScoreError: there is no image, or no last one.
    """
    if not np.any(last):
        raise ObjectScoreError(f"found {len(last)} images, none of which ends a scene: there is nothing to score")
    chosen = {"all": np.ones(len(last), dtype=bool), "last": np.asarray(last, dtype=bool)}
    return {
        f"{name}_{turns}": float(values[which].mean())
        for turns, which in chosen.items()
        for name, values in by_image.items()
    }


def summarise_turns(by_image: Mapping[str, np.ndarray], turns: np.ndarray) -> dict[str, float]:
    """Return the means over the images of each turn, named ``f1_turn_1``, ``f1_turn_2`` ...

    Args:
        by_image: scores of images, (N,) each.
        turns: (N,) int, the turn of each image in its scene, from 0 on.
    """
    return {
        f"{name}_turn_{turn + 1}": float(values[turns == turn].mean())
        for turn in np.unique(turns).tolist()
        for name, values in by_image.items()
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _agreement(both: np.ndarray, locations: np.ndarray, truth: np.ndarray) -> np.ndarray:
    pairs = both[:, None, :, None] & both[:, None, None]
    same = (relations(locations) == relations(truth)) & pairs
    return _share(same.sum(axis=(1, 2, 3)), 2 * pairs.sum(axis=(1, 2, 3)))
