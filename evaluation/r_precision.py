"""R-precision of generated images: how often an image's own caption is the nearest of a hundred (arXiv:1711.10485).

The paper describes it, its repository lacks it; the usual code is MinfengZhu/DM-GAN ``code/trainer.py`` (``sampling``)
with ``code/datasets.py`` (``get_mis_caption``): for each image 99 captions of images of other classes, cosine
similarity of sentence and image, 30,000 images in ten folds. Three of its quirks are an option and are done right
otherwise: wrong captions are drawn with replacement, the own caption wins ties, and the last image of every fold is
left out (2,999 of 3,000).

Shape letters: N images, D embedding size, W wrong captions of each.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from common.errors import UserError
from config.limits import Count, Seed

LEAST_NORM = 1e-8  # products of norms below it count as it
TIE = 1e-6  # cosines no farther apart are equal: equal captions differ so much by the rounding of their batches
AT_ONCE = 2**24  # numbers of wrong captions' embeddings that are in memory together


class RPrecisionError(UserError, ValueError):
    """Embeddings and classes of which no R-precision can be computed."""


@dataclass(frozen=True)
class RPrecision:
    """A precision with the protocol that it was measured with."""

    mean: float  # 0-1, share of the images whose own caption is the nearest
    std: float  # of the folds' shares, 0-1
    images: int  # that count
    wrong: int  # captions of other classes beside the own one
    folds: int
    seed: int  # of draws and folds
    published: bool  # whether draws, ties and folds are those of DM-GAN's code

    @property
    def chance(self) -> float:
        """Return the precision of a judge that guesses."""
        return 1 / (1 + self.wrong)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self) | {"chance": self.chance}


def r_precision(
    sentences: np.ndarray,
    images: np.ndarray,
    classes: np.ndarray,
    wrong: Count = 99,
    folds: Count = 10,
    seed: Seed = 0,
    published: bool = False,
) -> RPrecision:
    """Return how often an image's own caption is nearer to it than captions of other classes.

    Args:
        sentences: embeddings (N, D) of the captions that the images belong to, in their order.
        images: embeddings (N, D) of the images.
        classes: (N,) integers; captions of an image's own class are never its wrong ones.
        wrong: W, captions that the own one is compared with.
        folds: parts whose shares give the standard deviation.
        seed: of draws and folds.
        published: draw with replacement, give ties to the own caption and leave the last image of each fold out.

    Raises:
        RPrecisionError: the arrays do not fit each other, hold what is not finite, or a class leaves fewer than W
            captions of others.
    """
    _check(sentences, images, classes, 2 * folds if published else folds)
    random = np.random.default_rng(seed)
    drawn = wrong_rows(classes, wrong, random, replace=published)
    hits = _hits(_unit(sentences), _unit(images), drawn, published)[random.permutation(len(images))]
    if published:
        parts = hits[: len(hits) // folds * folds].reshape(folds, -1)[:, :-1]
        return RPrecision(float(parts.mean()), float(parts.mean(1).std()), parts.size, wrong, folds, seed, published)
    shares = [part.mean() for part in np.array_split(hits, folds)]
    return RPrecision(float(hits.mean()), float(np.std(shares)), len(hits), wrong, folds, seed, published)


def wrong_rows(classes: np.ndarray, wrong: int, random: np.random.Generator, replace: bool = False) -> np.ndarray:
    """Draw for each row ``wrong`` rows of other classes, (N, W) int64, all different unless ``replace``.

    ``classes`` (N,). Raises RPrecisionError where a class leaves fewer.
    """
    order = np.argsort(classes, kind="stable")
    own, firsts, counts = np.unique(classes[order], return_index=True, return_counts=True)
    most = int(counts.argmax())
    others = len(classes) - int(counts[most])
    if others < (1 if replace else wrong):
        raise RPrecisionError(
            f"class {own[most]} has {counts[most]} of {len(classes)} images, which leaves {others} captions of other "
            f"classes; expected at least {wrong}: give more images, or fewer wrong captions"
        )
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


def _check(sentences: np.ndarray, images: np.ndarray, classes: np.ndarray, least: int) -> None:
    """Refuse arrays that do not fit each other, and fewer images than the folds need, ``least``."""
    if sentences.ndim != 2 or sentences.shape != images.shape or classes.shape != images.shape[:1]:
        raise RPrecisionError(
            f"found sentences {sentences.shape}, images {images.shape} and classes {classes.shape}; expected (N, D), "
            "(N, D) and (N,)"
        )
    if len(images) < least:
        raise RPrecisionError(f"found {len(images)} images, expected at least {least}; give more, or fewer folds")
    if not (np.isfinite(sentences).all() and np.isfinite(images).all()):
        raise RPrecisionError("found embeddings that are not finite; the judge's weights are damaged")
