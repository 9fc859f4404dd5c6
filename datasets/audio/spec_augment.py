"""SpecAugment: bands and stretches of a training spectrogram are masked (Park et al., arXiv:1904.08779)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt
from torch import Tensor

from config import check_values


@dataclass(frozen=True)
class SpecAugment:
    """Masks drawn with torchaudio from torch's generator; no time warping.

    Args:
        freq_masks: Number of frequency masks.
        freq_width: Their largest width in mel bands.
        time_masks: Number of time masks.
        time_width: Their largest width in frames of 10 ms.
        time_share: No time mask is wider than this share of the caption (0-1).
        value: Value of masked cells, in dB below the loudest; -80 is silence.
    """

    freq_masks: Annotated[int, Field(ge=0, le=100)]
    freq_width: Annotated[int, Field(ge=0, le=1000)]
    time_masks: Annotated[int, Field(ge=0, le=1000)]
    time_width: NonNegativeInt
    time_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    value: Annotated[float, Field(ge=-1000, le=1000)] = -80.0

    def __post_init__(self) -> None:
        check_values(self)

    def __call__(self, mel: Tensor) -> Tensor:
        """Mask one spectrogram (M, T) in dB, without padding; the argument is left as it is."""
        from torchaudio.functional import mask_along_axis

        mel = mel[None]
        for _ in range(self.freq_masks):
            mel = mask_along_axis(mel, self.freq_width, self.value, axis=1)
        for _ in range(self.time_masks):
            mel = mask_along_axis(mel, self.time_width, self.value, axis=2, p=self.time_share)
        return mel[0]
