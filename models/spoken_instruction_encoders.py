"""Encoders of spoken instructions: what a frozen speech encoder makes of the sound, in place of words.

``units`` are the codes of a quantised layer, ``features`` the frames of a layer without one (models/resdavenet_vq.py).
Either becomes vectors, which a strided convolution makes fewer; the recurrent encoder of written instructions reads
them as it reads word vectors, so that whatever takes one encoder takes all.

Shape letters: B instructions, L frames, L' = ceil(L / stride) of them after the convolution, C channels of a layer,
D size of the embeddings, V of the vectors that the recurrent network reads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from config.limits import Chance, Count, Width
from models.instruction_encoders import (
    BertInstructionEncoder,
    EncodedInstruction,
    GruInstructionEncoder,
    InstructionError,
)


class _SpokenReader(nn.Module):
    """Make vectors (B, L, V) fewer and read those before, then those of the instruction."""

    def __init__(self, vector_dim: int, text_dim: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.stride, self.dropout = stride, dropout
        self.fewer = nn.Conv1d(vector_dim, vector_dim, 2 * stride - 1, stride, padding=stride - 1)
        self.words = GruInstructionEncoder(vector_dim, text_dim)

    def forward(self, previous: Tensor, nprevious: Tensor, spoken: Tensor, nspoken: Tensor) -> EncodedInstruction:
        return self.words(*self._strided(previous, nprevious), *self._strided(spoken, nspoken))

    def _strided(self, vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, L', V), zeros behind each instruction, and its length; whole frames are dropped in training."""
        kept = _within(vectors.shape[1], lengths)
        if self.training and self.dropout:
            kept = kept & (torch.rand(kept.shape, device=kept.device) >= self.dropout)
        fewer = self.fewer((vectors * kept[..., None]).transpose(1, 2)).transpose(1, 2)
        lengths = torch.div(lengths + self.stride - 1, self.stride, rounding_mode="floor")
        return fewer * _within(fewer.shape[1], lengths)[..., None], lengths


class UnitInstructionEncoder(nn.Module):
    """Embed codes and read them.

    ``inputs`` are the names of what it takes in a sample (datasets.dialogue.spoken.SpokenUnits).

    Args:
        codes: number of codes of the layer.
        vector_dim: V.
        text_dim: D, half of it each way.
        stride: frames that become one vector.
        dropout: share of frames that are left out in training.

    Raises:
        InstructionError: D is odd.
    """

    inputs = ("previous_units", "nprevious", "units", "nunits")

    def __init__(
        self,
        codes: Width = 128,
        vector_dim: Width = 64,
        text_dim: Width = 128,
        stride: Count = 4,
        dropout: Chance = 0.1,
    ) -> None:
        super().__init__()
        self.codes, self.text_dim = codes, text_dim
        self.vectors = nn.Embedding(codes, vector_dim)
        self.reader = _SpokenReader(vector_dim, text_dim, stride, dropout)

    def forward(self, previous: Tensor, nprevious: Tensor, units: Tensor, nunits: Tensor) -> EncodedInstruction:
        """Encode instructions.

        Args:
            previous: (B, L) int64 codes of what was said before, 0 behind it.
            nprevious: (B,) their number, 0 before the first turn.
            units: (B, L) codes of the instruction.
            nunits: (B,) their number.

        Raises:
            InstructionError: codes are no codes of the layer.
        """
        for values in (previous, units):
            if values.dim() != 2 or values.is_floating_point() or (values.numel() and int(values.max()) >= self.codes):
                raise InstructionError(
                    f"found units {values.dtype} {tuple(values.shape)} up to {values.max()}, expected (B, L) below "
                    f"{self.codes}: give the encoder the number of codes of the layer that made them"
                )
        return self.reader(self.vectors(previous), nprevious, self.vectors(units), nunits)


class FeatureInstructionEncoder(nn.Module):
    """Normalise frames of a layer, transform them linearly and read them.

    ``inputs`` are the names of what it takes in a sample (datasets.dialogue.spoken.SpokenFeatures).

    Args:
        channels: C of the layer.
        vector_dim: V.
        text_dim: D, half of it each way.
        stride: frames that become one vector.
        dropout: share of frames that are left out in training.

    Raises:
        InstructionError: D is odd.
    """

    inputs = ("previous_features", "nprevious", "features", "nfeatures")

    def __init__(
        self,
        channels: Width = 128,
        vector_dim: Width = 64,
        text_dim: Width = 128,
        stride: Count = 4,
        dropout: Chance = 0.1,
    ) -> None:
        super().__init__()
        self.channels, self.text_dim = channels, text_dim
        self.vectors = nn.Linear(channels, vector_dim)
        self.reader = _SpokenReader(vector_dim, text_dim, stride, dropout)

    def forward(self, previous: Tensor, nprevious: Tensor, features: Tensor, nfeatures: Tensor) -> EncodedInstruction:
        """Encode instructions.

        Args:
            previous: (B, L, C) frames of what was said before.
            nprevious: (B,) their number, 0 before the first turn.
            features: (B, L, C) frames of the instruction.
            nfeatures: (B,) their number.

        Raises:
            InstructionError: frames have other channels than the encoder's.
        """
        for values in (previous, features):
            if values.dim() != 3 or values.shape[2] != self.channels:
                raise InstructionError(f"found features {tuple(values.shape)}, expected (B, L, {self.channels})")
        before, now = (self.vectors(F.layer_norm(part, (self.channels,))) for part in (previous, features))
        return self.reader(before, nprevious, now, nfeatures)


InstructionEncoder = GruInstructionEncoder | BertInstructionEncoder | UnitInstructionEncoder | FeatureInstructionEncoder


def _within(frames: int, lengths: Tensor) -> Tensor:
    """Return (B, frames) bool, true on the first ``lengths`` (B,) frames of each instruction."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]
