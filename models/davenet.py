"""DAVEnet: words and objects found in each other without labels (Harwath et al., arXiv:1804.01452).

The speech branches and the pair match surisdi/learning-by-drawing ``models.py`` (arXiv:1909.11213 and later work).
Shape letters: B items, D embedding size, T frames of 10 ms, T' pooled frames.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Width
from models.batch_norm import hold_batch_norm
from models.speech_maps import SpeechMaps, speech_maps

MEL_BINS = 40
HIDDEN = {"small": (256, 512, 512), "large": (256, 512, 512, 512, 512, 512)}  # channels, each followed by pooling
FIRST_KERNEL, KERNEL = 11, 17  # frames


class DavenetSpeech(nn.Module):
    """Convolutions over time on log-mels; one feature per 80 ms (small) or 640 ms (large), after a ReLU.

    Args:
        size: ``small`` pools time by 8, ``large`` by 64.
        embedding_dim: D, 512 as published.
        freeze_batch_norm: Keep the statistics of the input's batch norm, so that no item sees its batch.

    Raises:
        ValueError: The size is neither small nor large.
    """

    def __init__(
        self, size: Literal["small", "large"] = "large", embedding_dim: Width = 512, freeze_batch_norm: bool = False
    ) -> None:
        super().__init__()
        if size not in HIDDEN:
            raise ValueError(f"DavenetSpeech has the sizes small and large, got {size!r}.")
        self.size = size
        self.embedding_dim = embedding_dim
        self.freeze_batch_norm = freeze_batch_norm
        widths = [128, *HIDDEN[size], embedding_dim]
        self.input_norm = nn.BatchNorm2d(1)
        self.stem = nn.Conv1d(MEL_BINS, widths[0], 1)
        kernels = [FIRST_KERNEL, *[KERNEL] * (len(widths) - 2)]
        self.convs = nn.ModuleList(
            nn.Conv1d(a, b, kernel, padding=kernel // 2)
            for (a, b), kernel in zip(pairwise(widths), kernels, strict=True)
        )

    def train(self, mode: bool = True) -> "DavenetSpeech":
        """Set the training mode; a frozen batch norm stays in evaluation mode."""
        super().train(mode)
        if self.freeze_batch_norm:
            hold_batch_norm(self)
        return self

    def forward(self, mel: Tensor, nframes: Tensor | None = None) -> SpeechMaps:
        """Encode log-mels ``(B, 40, T)`` in dB, padded with 0 as published, as non-negative features ``(B, D, T')``.

        T' is T/8 or T/64 rounded up; ``nframes`` (B,), all when None, set the pooled frame counts alone.
        """
        x = self.input_norm(mel.unsqueeze(1)).squeeze(1)
        x = F.relu(self.stem(x))
        for conv in self.convs[:-1]:
            x = F.max_pool1d(F.relu(conv(x)), kernel_size=3, stride=2, padding=1)
        return speech_maps(F.relu(self.convs[-1](x)), nframes, mel.shape[-1])
