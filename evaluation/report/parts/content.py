"""The content of an evaluation report: plain data, filled in by a task, shown by the other modules here."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Direction = Literal["image_to_speech", "speech_to_image"]


@dataclass
class Retrieved:
    """Show one retrieved item."""

    image_u8: np.ndarray | None  # (H, W, 3) uint8
    text: str  # its caption
    score: float  # similarity to the query
    correct: bool  # it is the query's own match


@dataclass
class Query:
    """Show one query, its true match and the retrieved items.

    Raises ValueError where an array has another shape, or ``seconds`` is not above 0.
    """

    direction: Direction  # from the given to the wanted
    rank: int  # 0-based, of the true match
    text: str  # the caption of the true pair
    image_u8: np.ndarray  # of the true pair, (H, W, 3) uint8
    waveform: np.ndarray | None  # the spoken caption, (n,) float in -1..1; None when only features are at hand
    sample_rate: int  # Hz
    matchmap: np.ndarray  # similarity of every region and frame of the true pair, (h, w, t)
    seconds: float | None  # length of the t frames; None for a written caption, which has no time
    words: list[tuple[float, float, str]] | None  # (start, end, word) in seconds, or in frames where there is no time
    retrieved: list[Retrieved]  # best first
    whole_seconds: float | None = None  # length of the whole caption where the model got only its first ``seconds``

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
    """Show everything on one page."""

    title: str  # heading of the page
    metrics: dict[str, float] = field(default_factory=dict)  # as of `evaluation.retrieval.recall_metrics`, or others
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # name -> (step, value) in order
    queries: list[Query] = field(default_factory=list)  # in both directions
    config_yaml: str = ""  # the resolved config
    info: dict[str, str] = field(default_factory=dict)  # when, command, commit, versions and the like, in order
    sections: list[tuple[str, str]] = field(default_factory=list)  # (heading, HTML) of further parts, escaped
    marks: dict[str, dict[int, str]] = field(default_factory=dict)  # name of a curve -> step -> what changes after it
