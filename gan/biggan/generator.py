"""BigGAN's generator (arXiv:1809.11096).

Must match ajbrock/BigGAN-PyTorch ``BigGAN.py`` and schwettmann/pretorched-x ``pretorched/gans/biggan.py`` (parity kind
``biggan``), with a shared embedding of classes and batch norm. Published peculiarities that stay, since weights depend
on them: one power iteration in evaluation mode (:mod:`gan.biggan.layers`), and a last batch norm whose epsilon is 1e-5
whatever that of the others.

Shape letters: B images, C channels, H, W height and width of a map, R height and width of the image, E size of a
class's embedding, S numbers in one slot of the latent.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Resolution, Width
from gan.biggan.layers import BigganError, ConditionalBatchNorm, SelfAttention, SpectralConv, SpectralLinear, initialise
from models.batch_norm import BatchNorm

FIRST_RESOLUTION = 4
LAST_NORM_EPS = 1e-5
PUBLISHED_WIDTHS = {  # multiples of the width at 4, 8, 16 ... pixels
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}

Widths = Annotated[list[Width], Field(min_length=2, max_length=12)]
Epsilon = Annotated[float, Field(gt=0, le=1)]


def published_widths(resolution: int, width: int = 96) -> list[int]:
    """Return the channels at 4, 8, 16 ... ``resolution`` pixels of the published table.

    Args:
        resolution: 32, 64, 128, 256 or 512 pixels.
        width: channels that the table multiplies (``G_ch``): 96, or 128 of one generator for Places365.

    Raises:
        BigganError: the table has no such resolution.
    """
    if resolution not in PUBLISHED_WIDTHS:
        raise BigganError(f"found resolution {resolution}, expected one of {', '.join(map(str, PUBLISHED_WIDTHS))}")
    return [width * multiple for multiple in PUBLISHED_WIDTHS[resolution]]


class FirstLayer(nn.Module):
    """Turn the first slot of the latent (B, S) into maps (B, C, 4, 4)."""

    def __init__(self, slot: int, channels: int, eps: float) -> None:
        super().__init__()
        self.linear = SpectralLinear(slot, channels * FIRST_RESOLUTION**2, eps=eps)

    def forward(self, latents: Tensor) -> Tensor:
        """Multiply and reshape."""
        return self.linear(latents).unflatten(1, (-1, FIRST_RESOLUTION, FIRST_RESOLUTION))


class GeneratorBlock(nn.Module):
    """Double the resolution in a residual block with conditional batch norm, then attend (in some blocks)."""

    def __init__(
        self, channels: int, out_channels: int, condition_dim: int, attention: bool, norm_eps: float, eps: float
    ) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm(channels, condition_dim, norm_eps, eps)
        self.conv1 = SpectralConv(channels, out_channels, eps=eps)
        self.norm2 = ConditionalBatchNorm(out_channels, condition_dim, norm_eps, eps)
        self.conv2 = SpectralConv(out_channels, out_channels, eps=eps)
        self.shortcut = SpectralConv(channels, out_channels, 1, eps=eps)
        self.attention = SelfAttention(out_channels, eps) if attention else None

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Turn (B, C, H, W) and conditions (B, E + S) into (B, O, 2H, 2W)."""
        hidden = self.conv1(F.interpolate(F.relu(self.norm1(maps, condition)), scale_factor=2))
        hidden = self.conv2(F.relu(self.norm2(hidden, condition)))
        maps = hidden + self.shortcut(F.interpolate(maps, scale_factor=2))
        return maps if self.attention is None else self.attention(maps)


class OutputLayer(nn.Module):
    """Turn the last maps (B, C, R, R) into images (B, 3, R, R) in [-1, 1]."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.norm = BatchNorm(channels, eps=LAST_NORM_EPS)
        self.conv = SpectralConv(channels, 3, eps=eps)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise, convolve, bound."""
        return self.conv(F.relu(self.norm(maps))).tanh()


class BigganGenerator(nn.Module):
    """Generate images of classes, by children ``layer0`` (4 x 4 pixels), ``layer1`` ..., ``output``.

    ``layerN`` puts out what enters the published block N; each later layer doubles the resolution and ends with
    attention where it has one.

    Args:
        widths: channels at 4, 8, 16 ... pixels, see :func:`published_widths`; images have 4 * 2^(len(widths) - 1).
        latent_dim: numbers in a latent, of which as many are used as divide evenly into slots, one for each layer: 119
            of 120 with 7 layers. Afterwards ``latent_dim`` is the number used.
        num_classes: classes of images; 1 for none.
        class_dim: E, which all layers share.
        attention: resolutions in pixels of the layers that end with attention: 64, and 128 of ImageNet's at 256 pixels.
        hierarchical: each later layer sees its slot of the latent beside the class; otherwise the first one sees all.
        norm_eps: of the batch norms but the last; 1e-5 for Places365, 1e-4 for the weights from TensorFlow Hub.
        spectral_eps: of the spectral norms; 1e-6 for Places365, 1e-4 for the weights from TensorFlow Hub.

    Raises:
        BigganError: the latent is smaller than one number a slot, no layer has the attention's resolution, or it has
            too few channels.
    """

    def __init__(
        self,
        widths: Widths,
        latent_dim: Width = 120,
        num_classes: Width = 1000,
        class_dim: Width = 128,
        attention: list[Resolution] | None = None,
        hierarchical: bool = True,
        norm_eps: Epsilon = 1e-5,
        spectral_eps: Epsilon = 1e-6,
    ) -> None:
        super().__init__()
        resolutions = [FIRST_RESOLUTION * 2**stage for stage in range(len(widths))]
        attention = attention or []
        _check(widths, resolutions, attention)
        slots = len(widths) if hierarchical else 1
        if latent_dim < slots:
            raise BigganError(f"found latent_dim {latent_dim}, expected at least {slots}, one number for each layer")
        self.slot = latent_dim // slots
        self.latent_dim = self.slot * slots
        self.num_classes, self.class_dim, self.hierarchical = num_classes, class_dim, hierarchical
        self.widths, self.resolution = list(widths), resolutions[-1]
        self.classes = nn.Embedding(num_classes, class_dim)
        condition_dim = class_dim + (self.slot if hierarchical else 0)
        self.layer0 = FirstLayer(self.slot, widths[0], spectral_eps)
        for number, (channels, out_channels) in enumerate(pairwise(widths), start=1):
            attends = resolutions[number] in attention
            block = GeneratorBlock(channels, out_channels, condition_dim, attends, norm_eps, spectral_eps)
            self.add_module(f"layer{number}", block)
        self.output = OutputLayer(widths[-1], spectral_eps)
        initialise(self)

    @property
    def layer_names(self) -> list[str]:
        """Return layer0 ... layerN, without the output."""
        return [f"layer{number}" for number in range(len(self.widths))]

    def conditions(self, latents: Tensor, classes: Tensor) -> list[Tensor]:
        """Return what each layer sees: the first slot of the latents (B, S), then (B, E + S), or (B, E), each.

        ``latents`` are (B, latent_dim); ``classes`` (B,) int64, or embeddings (B, E), which may lie between classes.
        Raises BigganError where a size does not fit or there is no such class.
        """
        if latents.dim() != 2 or latents.shape[1] != self.latent_dim:
            raise BigganError(f"found latents {tuple(latents.shape)}, expected (B, {self.latent_dim})")
        embedded = self._embedded(classes, len(latents))
        first, *others = latents.split(self.slot, dim=1)
        if not self.hierarchical:
            return [first, *[embedded] * (len(self.widths) - 1)]
        return [first, *(torch.cat((embedded, slot), dim=1) for slot in others)]

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Generate images (B, 3, R, R) in [-1, 1] from latents and classes as of :meth:`conditions`."""
        first, *conditions = self.conditions(latents, classes)
        maps = self.layer0(first)
        for number, condition in enumerate(conditions, start=1):
            maps = self.get_submodule(f"layer{number}")(maps, condition)
        return self.output(maps)

    @torch.no_grad()
    def latent_weights(self) -> dict[str, Tensor]:
        """Return by layer the normalised matrices (rows, latent_dim) that multiply the latent there.

        A later layer's rows are its gains and biases; columns of other slots are 0.
        """
        found = {"layer0": self._placed(self.layer0.linear.normalised(), 0)}
        if self.hierarchical:
            for number in range(1, len(self.widths)):
                layer = self.get_submodule(f"layer{number}")
                parts = [
                    linear.normalised() for norm in (layer.norm1, layer.norm2) for linear in (norm.gain, norm.bias)
                ]
                found[f"layer{number}"] = self._placed(torch.cat(parts)[:, self.class_dim :], number)
        return found

    def regularised_weights(self) -> list[Tensor]:
        """Return the weights that orthogonal regularisation acts on: all of two axes or more but the embedding's."""
        return [weight for weight in self.parameters() if weight.dim() > 1 and weight is not self.classes.weight]

    def _placed(self, matrix: Tensor, slot: int) -> Tensor:
        """Return a slot's matrix (rows, S) with zeros for the other slots."""
        return F.pad(matrix, (slot * self.slot, self.latent_dim - (slot + 1) * self.slot))

    def _embedded(self, classes: Tensor, batch: int) -> Tensor:
        if classes.is_floating_point():
            if classes.shape != (batch, self.class_dim):
                raise BigganError(f"found embeddings {tuple(classes.shape)}, expected ({batch}, {self.class_dim})")
            return classes
        if classes.shape != (batch,):
            raise BigganError(f"found classes {tuple(classes.shape)}, expected ({batch},), one for each latent")
        if batch and not 0 <= int(classes.min()) <= int(classes.max()) < self.num_classes:
            outside = int(classes.min() if classes.min() < 0 else classes.max())
            raise BigganError(f"found class {outside}, expected 0 to {self.num_classes - 1}")
        return self.classes(classes)


def _check(widths: Sequence[int], resolutions: Sequence[int], attention: Sequence[int]) -> None:
    if len(widths) < 2 or min(widths) < 1:
        raise BigganError(f"found widths {list(widths)}, expected the channels at 4, 8 ... pixels, at least two")
    unknown = [resolution for resolution in attention if resolution not in resolutions[1:]]
    if unknown:
        raise BigganError(f"attention was asked at {unknown[0]} pixels, but layers have {resolutions[1:]}")
