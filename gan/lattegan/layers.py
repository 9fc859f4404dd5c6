"""Layers that the networks of LatteGAN (arXiv:2112.13985) and GeNeVA-GAN (arXiv:1811.09845) are made of.

Must match smatsumori/LatteGAN ``src/modules/propv1`` (``layers.py``, ``normalization.py``; parity kind ``lattegan``)
and Maluuba/GeNeVA ``geneva/definitions``. A 1 x 1 convolution on the way around a block stands on the side with fewer
positions, before an upsampling and behind a pooling: the same sums, a quarter of the work. Conditional norms start as
plain ones; the public code fills columns of their weights where it means rows (``normalization.py:10``).

Shape letters: B samples, C channels, H, W height and width of a map, L words, D size of the text's embeddings.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from common.errors import UserError
from models.batch_norm import BatchNorm

Norm = Literal["batch", "instance"]
Activation = Literal["relu", "leaky_relu", "selu"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "leaky_relu": F.leaky_relu, "selu": F.selu}
START = 0.02  # standard deviation of weights without spectral norm at the start


class LatteganError(UserError, ValueError):
    """A network of system 5 that cannot be made, or a call that does not fit it."""


class Instructions(NamedTuple):
    """One turn's encoded instruction of each of B dialogues."""

    sentences: Tensor  # (B, D)
    words: Tensor  # (B, L, D); behind each instruction's words may stand anything
    lengths: Tensor  # (B,) int64, words of each, 1 to L

    @property
    def padding(self) -> Tensor:
        """(B, L) bool, true where there is no word."""
        return torch.arange(self.words.shape[1], device=self.lengths.device) >= self.lengths[:, None]


def check_instructions(instructions: Instructions, batch: int, text_dim: int) -> None:
    """Raise a LatteganError for embeddings of other sizes than (batch, text_dim), and instructions without words."""
    sentences, words, lengths = instructions
    count = words.shape[1] if words.dim() == 3 else 0
    expected = ((batch, text_dim), (batch, count, text_dim), (batch,))
    if (sentences.shape, words.shape, lengths.shape) != expected:
        raise LatteganError(
            f"found sentences {tuple(sentences.shape)}, words {tuple(words.shape)} and lengths {tuple(lengths.shape)}; "
            f"expected ({batch}, {text_dim}), ({batch}, L, {text_dim}) and ({batch},): the text's embeddings are of "
            "another encoder, or of other dialogues"
        )
    if not ((lengths >= 1) & (lengths <= count)).all():
        raise LatteganError(f"found instructions of {lengths.tolist()} words, expected 1 to {count}")


def with_spectral_norm(layer: nn.Module, spectral: bool) -> nn.Module:
    """Start a layer's weight, and keep its largest singular value at 1 with ``spectral`` (arXiv:1802.05957)."""
    if not spectral:
        nn.init.normal_(layer.weight, 0.0, START)
        return layer
    nn.init.orthogonal_(layer.weight)
    return spectral_norm(layer)


def convolution(channels: int, out_channels: int, size: int, spectral: bool, bias: bool = False) -> nn.Module:
    """Return a convolution that keeps the resolution, of a kernel of ``size`` 1 or 3."""
    layer = nn.Conv2d(channels, out_channels, size, padding=size // 2, bias=bias)
    return with_spectral_norm(layer, spectral)


def linear(features: int, out_features: int, spectral: bool, bias: bool = False) -> nn.Module:
    """Return a linear layer whose bias, if it has one, starts at 0."""
    layer = nn.Linear(features, out_features, bias=bias)
    if bias:
        nn.init.zeros_(layer.bias)
    return with_spectral_norm(layer, spectral)


def normalisation(channels: int, norm: Norm, affine: bool = True) -> nn.Module:
    """Return batch norm, with or without factors and offsets of its own, or instance norm, which never has any."""
    return BatchNorm(channels, affine=affine) if norm == "batch" else nn.InstanceNorm2d(channels)


def normalised(channels: int, norm: Norm) -> nn.Sequential:
    """Return a norm and a ReLU."""
    return nn.Sequential(normalisation(channels, norm), nn.ReLU())


class ConditionalNorm(nn.Module):
    """Normalise (B, C, H, W), then scale and shift each channel as the sentence says (arXiv:1707.00683)."""

    def __init__(self, channels: int, text_dim: int, norm: Norm) -> None:
        super().__init__()
        self.norm = normalisation(channels, norm, affine=False)
        self.fc = nn.Linear(text_dim, 2 * channels)
        nn.init.normal_(self.fc.weight, 0.0, START)
        with torch.no_grad():
            self.fc.bias.copy_(torch.cat((torch.ones(channels), torch.zeros(channels))))

    def forward(self, maps: Tensor, sentences: Tensor) -> Tensor:
        """Normalise maps given sentences (B, D)."""
        scale, shift = self.fc(sentences)[:, :, None, None].chunk(2, dim=1)
        return scale * self.norm(maps) + shift


class UpBlock(nn.Module):
    """Double the resolution in a residual block.

    ``norm`` None leaves its norms out; with ``text_dim`` they follow the sentence. ``shortcut`` None has a convolution
    on the way around only where the channels change; ``attention`` acts on the result of the convolutions.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        spectral: bool,
        norm: Norm | None = None,
        text_dim: int = 0,
        activation: Activation = "relu",
        shortcut: bool | None = None,
        attention: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.norm1 = ConditionalNorm(channels, text_dim, norm) if norm else None
        self.norm2 = ConditionalNorm(out_channels, text_dim, norm) if norm else None
        self.conv1 = convolution(channels, out_channels, 3, spectral)
        self.conv2 = convolution(out_channels, out_channels, 3, spectral)
        around = channels != out_channels if shortcut is None else shortcut
        self.shortcut = convolution(channels, out_channels, 1, spectral) if around else nn.Identity()
        self.attention = attention or nn.Identity()

    def forward(self, maps: Tensor, sentences: Tensor | None = None) -> Tensor:
        """Turn (B, C, H, W), and sentences (B, D) where there are norms, into (B, C', 2H, 2W)."""
        hidden = self.activation(maps if self.norm1 is None else self.norm1(maps, sentences))
        hidden = self.conv1(F.interpolate(hidden, scale_factor=2))
        hidden = self.activation(hidden if self.norm2 is None else self.norm2(hidden, sentences))
        return self.attention(self.conv2(hidden)) + F.interpolate(self.shortcut(maps), scale_factor=2)


class DownBlock(nn.Module):
    """Halve the resolution in a residual block, or keep it (``halve`` False).

    The first block of a network, which sees an image, has no activation in front. ``shortcut`` and ``attention`` are as
    in :class:`UpBlock`.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        spectral: bool,
        norm: Norm | None = None,
        first: bool = False,
        halve: bool = True,
        activation: Activation = "relu",
        shortcut: bool | None = None,
        attention: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.first, self.halve = ACTIVATIONS[activation], first, halve
        self.norm1 = normalisation(channels, norm) if norm and not first else nn.Identity()
        self.norm2 = normalisation(out_channels, norm) if norm else nn.Identity()
        self.conv1 = convolution(channels, out_channels, 3, spectral)
        self.conv2 = convolution(out_channels, out_channels, 3, spectral)
        around = channels != out_channels if shortcut is None else shortcut
        self.shortcut = convolution(channels, out_channels, 1, spectral) if around else nn.Identity()
        self.attention = attention or nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, C', H/2, W/2), or (B, C', H, W)."""
        hidden = maps if self.first else self.activation(self.norm1(maps))
        hidden = self.conv2(self.activation(self.norm2(self.conv1(hidden))))
        if self.halve:
            hidden, maps = F.avg_pool2d(hidden, 2), F.avg_pool2d(maps, 2)
        return self.attention(hidden) + self.shortcut(maps)


class ConditioningAugmentation(nn.Module):
    """Find a Gaussian of conditions, K numbers, from the sentence (arXiv:1612.03242 section 3.2).

    With ``positive`` mean and log-variance pass a ReLU, as in Maluuba/GeNeVA.
    """

    def __init__(self, text_dim: int, condition_dim: int, spectral: bool, positive: bool = False) -> None:
        super().__init__()
        self.fc = linear(text_dim, 2 * condition_dim, spectral, bias=True)
        self.positive = positive

    def forward(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (B, K) each, given (B, D)."""
        values = self.fc(sentences)
        mean, log_variance = (F.relu(values) if self.positive else values).chunk(2, dim=1)
        return mean, log_variance
