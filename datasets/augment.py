"""SpecAugment: bands and stretches of a training spectrogram are masked (Park et al., arXiv:1904.08779)."""

from dataclasses import dataclass

from torch import Tensor
from torchaudio.functional import mask_along_axis


@dataclass(frozen=True)
class SpecAugment:
    """Masks drawn with torchaudio from torch's generator; no time warping.

    Args:
        freq_masks: Number of frequency masks.
        freq_width: Their largest width in mel bands.
        time_masks: Number of time masks.
        time_width: Their largest width in frames of 10 ms.
        time_share: No time mask is wider than this share of the caption (0-1).
        value: What masked cells hold, in dB below the loudest; -80 is silence.
    """

    freq_masks: int
    freq_width: int
    time_masks: int
    time_width: int
    time_share: float = 0.2
    value: float = -80.0

    def __post_init__(self) -> None:
        counts = (self.freq_masks, self.freq_width, self.time_masks, self.time_width)
        if min(counts) < 0 or not 0 < self.time_share <= 1:
            raise ValueError(f"{self}: expected counts and widths from 0 on and a time_share in (0, 1]")

    def __call__(self, mel: Tensor) -> Tensor:
        """Masks one spectrogram.

        Args:
            mel: (M, T) in dB, without padding.

        Returns:
            (M, T); the argument is left as it is.
        """
        mel = mel[None]
        for _ in range(self.freq_masks):
            mel = mask_along_axis(mel, self.freq_width, self.value, axis=1)
        for _ in range(self.time_masks):
            mel = mask_along_axis(mel, self.time_width, self.value, axis=2, p=self.time_share)
        return mel[0]
