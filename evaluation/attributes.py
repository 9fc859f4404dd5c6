"""Accuracy of a repeated word at finding the images that show it: Table 1 of "Learning Words by Drawing Images" (2019).

For each attribute word, images with the attribute are paired with images without it, in the order in which both
were found; the share of pairs in which the first scores higher is the accuracy, chance is one half. Words of one kind
are pooled, and the mean is over the four kinds, as in the published ``experiments.py`` (surisdi/learning-by-drawing).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import UserError
from config.limits import Weight

KINDS = {
    "colour": ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"),
    "material": ("rubber", "metal"),
    "size": ("large", "small"),
    "shape": ("cube", "sphere", "cylinder"),
}
WORDS = tuple(word for words in KINDS.values() for word in words)
PUBLISHED_PIXELS = 128 * 128


@dataclass(frozen=True)
class Limits:
    """Numbers of pixels that make an attribute there or absent, given for images of 128 x 128; other sizes scale them.

    The published values are for CLEVR's far scenes, where 700 pixels are more than one object.

    Attributes:
        seen: more than this many must show it.
        most: and fewer than this many.
        most_of_sizes: the same for large and small, which several objects share.
        absent: it is absent when fewer show it; between, the image is not used.
    """

    seen: Weight = 100
    most: Weight = 700
    most_of_sizes: Weight = 20000
    absent: Weight = 10


class AttributePairsError(UserError, ValueError):
    """Too few images to compare."""


def presence(
    counts: np.ndarray,
    pixels: int,
    words: Sequence[str] = WORDS,
    limits: Limits = Limits(),
) -> np.ndarray:
    """Return 1, -1 or 0 for each image and word, (B, len(words)): the attribute is there, absent, or it is unsure.

    ``counts`` (B, len(words)) are the pixels that show each attribute, of images of so many ``pixels``, rows times
    columns.
    """
    scale = pixels / PUBLISHED_PIXELS
    most = np.array([limits.most_of_sizes if word in KINDS["size"] else limits.most for word in words]) * scale
    there = (counts > limits.seen * scale) & (counts < most)
    return there.astype(int) - (counts < limits.absent * scale).astype(int)


def attribute_table(
    scores: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> tuple[dict[str, float], list[list]]:
    """Return accuracies of the words and of their kinds, and rows of the table: kind, word, accuracy, pairs.

    Metrics are ``colour``, ``material``, ``size``, ``shape``, ``mean``, one for each word, and ``pairs``. ``scores``
    holds for each word those of images with it and of images without it, in the order in which they were found. Raises
    AttributePairsError where a kind has no pair at all.
    """
    rows: list[list] = []
    metrics: dict[str, float] = {}
    for kind, words in KINDS.items():
        won = total = 0
        for word in words:
            having, lacking = (np.asarray(side, float) for side in scores.get(word, ((), ())))
            pairs = min(len(having), len(lacking))
            right = int((having[:pairs] > lacking[:pairs]).sum())
            rows.append([kind, word, right / pairs if pairs else float("nan"), pairs])
            won, total = won + right, total + pairs
        if total == 0:
            raise AttributePairsError(
                f"No pair of images with and without any {kind} was found: look at more, or check the segmenter."
            )
        metrics[kind] = won / total
    metrics["mean"] = float(np.mean([metrics[kind] for kind in KINDS]))
    metrics |= {f"word {word}": value for _, word, value, _ in rows}
    return metrics | {"pairs": float(sum(row[3] for row in rows))}, rows
