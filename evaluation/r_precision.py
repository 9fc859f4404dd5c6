"""R-precision of generated images: how often an image's own caption is the nearest of a hundred (arXiv:1711.10485).

The paper describes it, its repository lacks it; the usual code is MinfengZhu/DM-GAN ``code/trainer.py`` (``sampling``)
with ``code/datasets.py`` (``get_mis_caption``): for each image 99 captions of images of other classes, cosine
similarity of sentence and image, 30,000 images in ten folds. Three of its quirks are an option and are done right
otherwise: wrong captions are drawn with replacement, the own caption wins ties, and the last image of every fold is
left out (2,999 of 3,000).

Shape letters: N images, D embedding size, W wrong captions of each.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from common.errors import UserError
from config.limits import Count, Seed

LEAST_NORM = 1e-8  # products of norms below it count as it
TIE = 1e-6  # cosines no farther apart are equal: equal captions differ so much by the rounding of their batches
AT_ONCE = 2**24  # numbers of wrong captions' embeddings that are in memory together
SIGMAS = 3.0  # standard errors by which a judge must rate true pairs above permuted ones


class RPrecisionError(UserError, ValueError):
    """Embeddings and classes of which no R-precision can be computed."""


@dataclass(frozen=True)
class RPrecisionSettings:
    """Numbers on which an R-precision depends; the defaults are the usual ones, without the public code's quirks.

    Attributes:
        wrong: captions of other classes that the own one is compared with.
        folds: parts whose shares give the standard deviation.
        seed: of draws and folds.
        published: draw with replacement, give ties to the own caption and leave the last image of each fold out, as
            MinfengZhu/DM-GAN does.
    """

    wrong: Count = 99
    folds: Count = 10
    seed: Seed = 0
    published: bool = False


@dataclass(frozen=True)
class RPrecision:
    """A precision with the protocol that it was measured with."""

    mean: float  # 0-1, share of the images whose own caption is the nearest
    std: float  # of the folds' shares, 0-1
    images: int  # that count
    settings: RPrecisionSettings

    @property
    def chance(self) -> float:
        """Return the precision of a judge that guesses."""
        return 1 / (1 + self.settings.wrong)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self) | {"chance": self.chance}


class Pairs(NamedTuple):
    """Captions and images that belong together, as one judge embeds them."""

    sentences: np.ndarray  # (N, D)
    images: np.ndarray  # (N, D)
    classes: np.ndarray  # (N,) integers; captions of an image's own class are never its wrong ones


class Verdict(NamedTuple):
    """A judge's R-precision of generated images, and of real ones, which show what it can distinguish."""

    generated: RPrecision
    real: RPrecision  # true pairs of real images and captions
    permuted: RPrecision  # captions with real images of others

    @property
    def able(self) -> bool:
        """Return whether the judge distinguishes true pairs from permuted ones; if not, its figures say nothing."""
        both = (self.real, self.permuted)
        variance = sum(max(one.mean * (1 - one.mean), 1 / one.images) / one.images for one in both)
        return self.real.mean - self.permuted.mean > SIGMAS * variance**0.5

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"able": self.able} | {name: one.as_dict() for name, one in self._asdict().items()}


def r_precision(pairs: Pairs, settings: RPrecisionSettings = RPrecisionSettings()) -> RPrecision:
    """Return how often an image's own caption is nearer to it than captions of other classes.

    Raises RPrecisionError where the arrays do not fit each other, hold what is not finite, or are too few.
    """
    sentences, images, classes = pairs
    if sentences.ndim != 2 or sentences.shape != images.shape or classes.shape != images.shape[:1]:
        raise RPrecisionError(
            f"found sentences {sentences.shape}, images {images.shape} and classes {classes.shape}; expected (N, D), "
            "(N, D) and (N,)"
        )
    if not (np.isfinite(sentences).all() and np.isfinite(images).all()):
        raise RPrecisionError("found embeddings that are not finite; the judge's weights are damaged")
    check_enough(classes, settings)
    random = np.random.default_rng(settings.seed)
    drawn = wrong_rows(classes, settings.wrong, random, settings.published)
    hits = _hits(_unit(sentences), _unit(images), drawn, settings.published)[random.permutation(len(images))]
    if settings.published:
        parts = hits[: len(hits) // settings.folds * settings.folds].reshape(settings.folds, -1)[:, :-1]
        return RPrecision(float(parts.mean()), float(parts.mean(1).std()), parts.size, settings)
    shares = [part.mean() for part in np.array_split(hits, settings.folds)]
    return RPrecision(float(hits.mean()), float(np.std(shares)), len(hits), settings)


def verdict(generated: Pairs, real: Pairs, settings: RPrecisionSettings = RPrecisionSettings()) -> Verdict:
    """Judge generated images, and real ones with their own captions and with those of others.

    Raises RPrecisionError as :func:`r_precision`.
    """
    moved = real._replace(images=real.images[derangement(len(real.images), settings.seed)])
    return Verdict(*(r_precision(pairs, settings) for pairs in (generated, real, moved)))


def derangement(count: int, seed: int) -> np.ndarray:
    """Draw an order (n,) of ``count`` indices in which none is at its own position; RPrecisionError below two."""
    if count < 2:
        raise RPrecisionError(f"found {count} images, expected at least 2: captions of others are compared too")
    order = np.random.default_rng(seed).permutation(count)
    moved = np.empty(count, np.int64)
    moved[order] = np.roll(order, 1)
    return moved


def check_enough(classes: np.ndarray, settings: RPrecisionSettings) -> None:
    """Raise RPrecisionError where images of ``classes`` (N,) are too few for the folds, or for the wrong captions."""
    least = 2 * settings.folds if settings.published else settings.folds
    if len(classes) < least:
        raise RPrecisionError(f"found {len(classes)} images, expected at least {least}; give more, or fewer folds")
    largest = int(np.unique(classes, return_counts=True)[1].max())
    others = len(classes) - largest
    if others < (1 if settings.published else settings.wrong):
        raise RPrecisionError(
            f"the largest class has {largest} of {len(classes)} images, which leaves {others} captions of other "
            f"classes; expected at least {settings.wrong}: give more images, or fewer wrong captions"
        )


def wrong_rows(classes: np.ndarray, wrong: int, random: np.random.Generator, replace: bool = False) -> np.ndarray:
    """Draw for each row ``wrong`` rows of other classes, (N, W) int64, all different unless ``replace``.

    ``classes`` (N,) must leave so many (:func:`check_enough`).
    """
    order = np.argsort(classes, kind="stable")
    _, firsts, counts = np.unique(classes[order], return_index=True, return_counts=True)
    drawn = np.empty((len(classes), wrong), np.int64)
    for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
        left = len(classes) - count
        for row in order[first : first + count]:
            index = random.choice(left, wrong, replace=replace, shuffle=False)
            drawn[row] = order[index + count * (index >= first)]
    return drawn


def _hits(sentences: np.ndarray, images: np.ndarray, drawn: np.ndarray, published: bool) -> np.ndarray:
    """Return 1 for images whose own caption is nearest, 1 / (1 + k) where k wrong ones are as near, else 0: (N,)."""
    hits = np.empty(len(images))
    step = max(1, AT_ONCE // (drawn.shape[1] * images.shape[1]))
    for first in range(0, len(images), step):
        part = slice(first, first + step)
        own = np.einsum("nd,nd->n", images[part], sentences[part])
        others = np.einsum("nd,nwd->nw", images[part], sentences[drawn[part]])
        nearer = (others > own[:, None] + TIE).any(1)
        ties = 0 if published else (np.abs(others - own[:, None]) <= TIE).sum(1)
        hits[part] = np.where(nearer, 0.0, 1 / (1 + ties))
    return hits


def _unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows (N, D) to length 1, float64; rows of zeros stay."""
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(LEAST_NORM)
