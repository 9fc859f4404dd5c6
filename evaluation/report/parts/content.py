"""What an evaluation report is made of: plain data, filled in by a task, drawn by the other modules here."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Direction = Literal["image_to_speech", "speech_to_image"]


@dataclass
class Retrieved:
    """One answer to a query.

    Attributes:
        image_u8: the answer's image, (H, W, 3) uint8, or None.
        text: the answer's caption.
        score: similarity to the query.
        correct: whether it is the query's own match.
    """

    image_u8: np.ndarray | None
    text: str
    score: float
    correct: bool


@dataclass
class Query:
    """One query, its true match and what was retrieved.

    Attributes:
        direction: what was given and what was looked for.
        rank: 0-based rank of the true match.
        text: the caption of the true pair.
        image_u8: the image of the true pair, (H, W, 3) uint8.
        waveform: the spoken caption, (n,) float in -1..1, or None when only features are at hand.
        sample_rate: of the waveform, in Hz.
        matchmap: similarity of every region and frame of the true pair, (h, w, t).
        seconds: what the t frames cover, in seconds; None for a caption that is read, which has no time.
        words: (start, end, word) in seconds, or in frames where there is no time; None without an alignment.
        whole_seconds: length of the whole caption where the model heard only the first ``seconds`` of it, else None.
        retrieved: the first answers, best first.

    Raises:
        ValueError: an array has another shape, or ``seconds`` is not above 0.
    """

    direction: Direction
    rank: int
    text: str
    image_u8: np.ndarray
    waveform: np.ndarray | None
    sample_rate: int
    matchmap: np.ndarray
    seconds: float | None
    words: list[tuple[float, float, str]] | None
    retrieved: list[Retrieved]
    whole_seconds: float | None = None

    def __post_init__(self) -> None:
        _check_image(self.image_u8, "Query.image_u8")
        for answer in self.retrieved:
            if answer.image_u8 is not None:
                _check_image(answer.image_u8, "Retrieved.image_u8")
        if self.matchmap.ndim != 3 or 0 in self.matchmap.shape:
            raise ValueError(f"Query.matchmap has shape {self.matchmap.shape}: expected (h, w, t), none of them 0.")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"Query.seconds is {self.seconds}: expected the length of the caption, above 0.")
        if self.waveform is not None and self.waveform.ndim != 1:
            raise ValueError(f"Query.waveform has shape {self.waveform.shape}: expected (n,), one channel.")


def _check_image(image: np.ndarray, name: str) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{name} is {image.dtype} {image.shape}: expected uint8 (H, W, 3).")


@dataclass
class Report:
    """Everything on one page.

    Attributes:
        title: heading of the page.
        metrics: name -> value, as :func:`evaluation.retrieval.recall.recall_metrics` names them; others are listed as
            well.
        curves: name -> (step, value) in order.
        queries: examples in both directions.
        config_yaml: the resolved config.
        info: when, command, commit, versions and the like, in the order they are shown.
        sections: (heading, HTML) of further parts, made by functions of this package that escape what they show.
    """

    title: str
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    queries: list[Query] = field(default_factory=list)
    config_yaml: str = ""
    info: dict[str, str] = field(default_factory=dict)
    sections: list[tuple[str, str]] = field(default_factory=list)
