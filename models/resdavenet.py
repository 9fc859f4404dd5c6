"""ResDAVEnet: a residual speech encoder (Harwath, Hsu, Glass, arXiv:1911.09602), here without quantisation.

It matches wnhsu/ResDAVEnet-VQ ``models/AudioModels.py``. Its five stages are the positions that the paper numbers as
quantisers 1 to 5: after the first convolution and after each of the four residual layers; models/resdavenet_vq.py puts
them there.
Shape letters: B items, D embedding size, C channels, T frames of 10 ms, T' pooled frames.
"""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Depth, Kernel, Width
from models.batch_norm import hold_batch_norm
from models.speech_maps import SpeechMaps, speech_maps

MEL_BINS = 40
STAGES = 5


class SpeechBlock(nn.Module):
    """Two convolutions over time with batch norm around a shortcut, ``(B, C_in, T) -> (B, C, ceil(T/stride))``.

    The stride is that of the first convolution; the shortcut is a 1x1 convolution where the shape changes.
    """

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels_in, channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.norm2 = nn.BatchNorm1d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut.append(nn.Conv1d(channels_in, channels, 1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block; the output is not negative."""
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


class ResDavenet(nn.Module):
    """Residual convolutions over time on log-mels; one feature per 160 ms.

    Args:
        layer_widths: Channels after the first convolution and after each of the four layers; the last is D.
        layer_depths: Residual blocks of each of the four layers.
        kernel: Odd kernel size of the blocks, frames.
        freeze_batch_norm: Keep the statistics of every batch norm, so that no item sees its batch.

    Raises:
        ValueError: The widths are not five or the depths not four positive numbers, or the kernel is even.
    """

    def __init__(
        self,
        layer_widths: tuple[Width, ...] = (128, 256, 256, 512, 1024),
        layer_depths: tuple[Depth, ...] = (2, 2, 2, 2),
        kernel: Kernel = 9,
        freeze_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if len(layer_widths) != STAGES or len(layer_depths) != STAGES - 1 or min(*layer_widths, *layer_depths) < 1:
            raise ValueError(
                "ResDavenet needs five positive layer_widths and four positive layer_depths, "
                f"got {tuple(layer_widths)} and {tuple(layer_depths)}."
            )
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"ResDavenet's kernel must be odd so that the shortcut's length fits, got {kernel}.")
        self.embedding_dim = layer_widths[-1]
        self.freeze_batch_norm = freeze_batch_norm
        stem = nn.Conv1d(MEL_BINS, layer_widths[0], 1, bias=False)
        self.stages = nn.ModuleList([nn.Sequential(stem, nn.BatchNorm1d(layer_widths[0]), nn.ReLU())])
        for (width_in, width), depth in zip(pairwise(layer_widths), layer_depths, strict=True):
            blocks = [SpeechBlock(width_in, width, kernel, stride=2)]
            blocks += [SpeechBlock(width, width, kernel, stride=1) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
        self._start_as_published()

    def _start_as_published(self) -> None:
        """Draw He's normal start over outgoing connections; the first convolution's window is 40 bins by one frame."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                window = MEL_BINS if layer is self.stages[0][0] else layer.kernel_size[0]
                nn.init.normal_(layer.weight, std=(2.0 / (window * layer.out_channels)) ** 0.5)

    def train(self, mode: bool = True) -> "ResDavenet":
        """Set the training mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if self.freeze_batch_norm:
            hold_batch_norm(self)
        return self

    def stage_outputs(self, mel: Tensor) -> Iterator[Tensor]:
        """Yield the output ``(B, C, T / 2**i)`` of stage i = 0 to 4 of log-mels ``(B, 40, T)`` in dB, one at a time."""
        x = mel
        for stage in self.stages:
            x = stage(x)
            yield x

    def forward(self, mel: Tensor, nframes: Tensor | None = None) -> SpeechMaps:
        """Encode log-mels ``(B, 40, T)`` in dB as non-negative features ``(B, D, T/16)`` and pooled frame counts."""
        for x in self.stage_outputs(mel):  # noqa: B007  the last one counts
            pass
        return speech_maps(x, nframes, mel.shape[-1])
