"""Layers of BigGAN (arXiv:1809.11096): spectral norm, self-attention and conditional batch norm.

Must match ajbrock/BigGAN-PyTorch ``layers.py`` (parity kind ``biggan``). Shape letters: B images, C, O channels, H, W
height and width of a map, E size of a condition.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import UserError
from models.batch_norm import BatchNorm


class BigganError(UserError, ValueError):
    """A BigGAN that cannot be made, or a call that does not fit it."""


class _Spectral(nn.Module):
    """Divides ``weight`` by an estimate of its largest singular value, of one power iteration from the stored vector.

    In evaluation mode that iteration runs too, and its vector is not kept: as published, so that the images of a file
    stay what they were, though the estimate is not the converged norm. ``sigma`` is kept for logs only.
    """

    weight: nn.Parameter

    def _add_vectors(self, eps: float) -> None:
        self.eps = eps
        self.register_buffer("u", torch.randn(1, len(self.weight)))
        self.register_buffer("sigma", torch.ones(1))

    def normalised(self) -> Tensor:
        """Return the weight divided by the estimate; gradients flow through both."""
        matrix = self.weight.flatten(1)
        with torch.autocast(matrix.device.type, enabled=False):
            with torch.no_grad():
                v = F.normalize(self.u @ matrix, eps=self.eps)
                u = F.normalize(v @ matrix.T, eps=self.eps)
            sigma = (v @ matrix.T @ u.T).squeeze()
        if self.training:
            with torch.no_grad():
                self.u.copy_(u)
                self.sigma.copy_(sigma)
        return self.weight / sigma


class SpectralConv(nn.Conv2d, _Spectral):
    """Convolve (B, C, H, W) to (B, O, H, W) by a normalised kernel of 3 x 3 or 1 x 1; ``eps`` is of its norms."""

    def __init__(self, channels: int, out_channels: int, size: int = 3, bias: bool = True, eps: float = 1e-12) -> None:
        nn.Conv2d.__init__(self, channels, out_channels, size, padding=size // 2, bias=bias)
        self._add_vectors(eps)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve."""
        return self._conv_forward(maps, self.normalised(), self.bias)


class SpectralLinear(nn.Linear, _Spectral):
    """Map (B, C) to (B, O) by a normalised matrix; ``eps`` is of its norms."""

    def __init__(self, features: int, out_features: int, bias: bool = True, eps: float = 1e-12) -> None:
        nn.Linear.__init__(self, features, out_features, bias)
        self._add_vectors(eps)

    def forward(self, values: Tensor) -> Tensor:
        """Multiply."""
        return F.linear(values, self.normalised(), self.bias)


class SpectralEmbedding(nn.Embedding, _Spectral):
    """Give each class (B,) int64 its row (B, O) of a normalised table; ``eps`` is of its norms."""

    def __init__(self, classes: int, features: int, eps: float = 1e-12) -> None:
        nn.Embedding.__init__(self, classes, features)
        self._add_vectors(eps)

    def forward(self, classes: Tensor) -> Tensor:
        """Look up."""
        return F.embedding(classes, self.normalised())


class ConditionalBatchNorm(nn.Module):
    """Normalise each channel over the batch, then scale by 1 + gain and shift by bias, both linear in the condition.

    In evaluation mode it takes the stored statistics, see :mod:`gan.biggan.standing_statistics`.
    """

    def __init__(self, channels: int, condition_dim: int, norm_eps: float, spectral_eps: float) -> None:
        super().__init__()
        self.norm = BatchNorm(channels, eps=norm_eps, affine=False)
        self.gain = SpectralLinear(condition_dim, channels, bias=False, eps=spectral_eps)
        self.bias = SpectralLinear(condition_dim, channels, bias=False, eps=spectral_eps)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Normalise maps (B, C, H, W) given conditions (B, E)."""
        gain, bias = self.gain(condition), self.bias(condition)
        return self.norm(maps) * (1 + gain[:, :, None, None]) + bias[:, :, None, None]


class SelfAttention(nn.Module):
    """Add to each position a weighted mean of all others, times ``gamma``, which begins at 0 (arXiv:1805.08318)."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        if channels < 8:
            raise BigganError(f"attention was asked of {channels} channels; expected at least 8, of which it keeps 1/8")
        self.query = SpectralConv(channels, channels // 8, 1, bias=False, eps=eps)
        self.key = SpectralConv(channels, channels // 8, 1, bias=False, eps=eps)
        self.value = SpectralConv(channels, channels // 2, 1, bias=False, eps=eps)
        self.output = SpectralConv(channels // 2, channels, 1, bias=False, eps=eps)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        """Attend within maps (B, C, H, W) of even height and width; keys and values are pooled 2 x 2."""
        queries = self.query(maps).flatten(2)
        keys = F.max_pool2d(self.key(maps), 2).flatten(2)
        values = F.max_pool2d(self.value(maps), 2).flatten(2)
        weights = (queries.transpose(1, 2) @ keys).softmax(dim=2)  # (B, H * W, H * W / 4)
        attended = (values @ weights.transpose(1, 2)).unflatten(2, maps.shape[2:])
        return self.gamma * self.output(attended) + maps


def initialise(network: nn.Module) -> None:
    """Make the weights of every linear layer, convolution and embedding orthogonal (arXiv:1809.11096, section 3)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(module.weight)
