"""The result of the loaders of speech-image systems."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn


@dataclass(frozen=True)
class PublishedSpeechImage:
    """Keep the two encoders of a published speech-image model, in evaluation mode on the CPU.

    Attributes:
        image: ``forward(image (B, 3, H, W)) -> (B, D, H', W')``.
        speech: ``forward(mel (B, 40, T), nframes) -> SpeechMaps``.
        source: the file that holds the speech encoder.
        details: of the files, besides weights: epoch, scores, training arguments.
    """

    image: nn.Module
    speech: nn.Module
    source: Path
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image.eval()
        self.speech.eval()
