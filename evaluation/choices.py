"""Choices: a spoken caption is scored against its own image and some negatives, and should prefer its own.

The tests of "Learning Words by Drawing Images" (CVPR 2019): one against nine edited on the fly, one against four with
one attribute changed, one against one. Public code: surisdi/learning-by-drawing ``experiments.py``.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import written_whole


class ChoiceError(UserError, ValueError):
    """Scores that are no choice."""


@dataclass
class Choice:
    """Keep one caption and the scores of its candidates.

    Raises ChoiceError where there are fewer than two scores, or some are not finite.
    """

    name: str  # of the caption
    text: str  # of the caption
    scores: np.ndarray  # (K,), the first is that of its own image
    labels: list[str] = field(default_factory=list)  # K - 1 words on how each negative differs
    images: list[np.ndarray] = field(default_factory=list)  # K images (R, R, 3) uint8 to show, or none
    waveform: np.ndarray | None = None  # (n,) at 16 kHz
    others: np.ndarray | None = None  # (K,) by another measure, whose metrics stand beside

    def __post_init__(self) -> None:
        for scores in (self.scores, *([] if self.others is None else [self.others])):
            if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
                raise ChoiceError(f"{self.name}: scores {scores}; expected finite ones of an image and its negatives")

    @property
    def rank(self) -> int:
        """Return the 0-based rank of the caption's own image; negatives with the very same score come before it."""
        return _rank(self.scores)

    @property
    def other_rank(self) -> int | None:
        """Return the same by the other scores, None where there are none."""
        return None if self.others is None else _rank(self.others)


def _rank(scores: np.ndarray) -> int:
    return int((scores[1:] >= scores[0]).sum())


def choice_metrics(choices: Sequence[Choice], ks: Sequence[int], others: str | None = None) -> dict[str, float]:
    """Return recalls among the candidates.

    Args:
        choices: at least one.
        ks: recall@k for these; beyond the number of candidates they are left out.
        others: name of the choices' other scores; None where they have none.

    Returns:
        ``recall@k``, ``chance_recall@k``, ``mean_rank`` (1 is best), ``margin`` (mean of own score less best negative),
        ``candidates`` (mean number) and ``n``; and for each label of negatives ``beats <label>``: how often the own
        image wins against those. ``<others>_recall@k`` is that by the other scores.

    Raises:
        ChoiceError: there is no choice.
    """
    if not choices:
        raise ChoiceError("There is no caption to test: every one was left out, or the list is empty.")
    ranks = np.array([choice.rank for choice in choices])
    sizes = np.array([len(choice.scores) for choice in choices])
    metrics: dict[str, float] = {}
    for k in ks:
        if k < sizes.max():
            metrics[f"recall@{k}"] = float((ranks < k).mean())
            metrics[f"chance_recall@{k}"] = float(np.minimum(1, k / sizes).mean())
            if others is not None:
                metrics[f"{others}_recall@{k}"] = float(np.mean([choice.other_rank < k for choice in choices]))
    metrics["mean_rank"] = float(ranks.mean() + 1)
    metrics["margin"] = float(np.mean([choice.scores[0] - choice.scores[1:].max() for choice in choices]))
    wins: dict[str, list[bool]] = {}
    for choice in choices:
        for label, score in zip(choice.labels, choice.scores[1:], strict=False):
            wins.setdefault(label.split(":")[0], []).append(bool(choice.scores[0] > score))
    metrics |= {f"beats {label}": float(np.mean(won)) for label, won in sorted(wins.items())}
    return metrics | {"candidates": float(sizes.mean()), "n": float(len(choices))}


def write_choices(path: Path, choices: Sequence[Choice]) -> Path:
    """Write one CSV row for each caption: name, text, rank (1 is best), and the score and label of every candidate.

    If the candidates have other scores too, the last column is the rank by those.
    """
    most = max(len(choice.scores) for choice in choices)
    header = ["name", "text", "rank", "score"]
    header += [f"{what}_{number}" for number in range(1, most) for what in ("score", "label")]
    width = len(header)
    header += [] if choices[0].others is None else ["other_rank"]
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for choice in choices:
            row = [choice.name, choice.text, choice.rank + 1, f"{choice.scores[0]:.6g}"]
            labels = [*choice.labels, *[""] * len(choice.scores)]
            for score, label in zip(choice.scores[1:], labels, strict=False):
                row += [f"{score:.6g}", label]
            if choice.others is not None:
                row += [*[""] * (width - len(row)), choice.other_rank + 1]
            writer.writerow(row)
    return path


def best_and_worst(choices: Sequence[Choice], each: int = 4) -> list[Choice]:
    """Return the clearest right choices and the clearest wrong ones, so many of ``each``, the best first."""
    margins = np.array([choice.scores[0] - choice.scores[1:].max() for choice in choices])
    order = np.argsort(-margins, kind="stable")
    picked = order if len(order) <= 2 * each else np.concatenate([order[:each], order[-each:]])
    return [choices[index] for index in picked]
