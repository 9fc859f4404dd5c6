"""Progressive GAN generator as published for "Learning Words by Drawing Images", and the same network while it grows.

Progressive GAN: arXiv:1710.10196. Must match ``ablate/proggan.py`` of surisdi/learning-by-drawing (parity kind
``progan``): blocks of pixel norm, convolution, weight scale and leaky ReLU, named layer1 ... layerN, then an RGB
output. Layers 1, 2 work at 4 x 4 pixels; layers 3, 5, 7 ... double the resolution first. Nothing bounds the images,
which are meant to lie in [-1, 1].

Shape letters: B batch, C channels, H, W height and width of a map, R height and width of the image.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from common.errors import UserError
from config.limits import Width

SLOPE = 0.2  # of the leaky ReLUs
FIRST_RESOLUTION = 4


class ProganError(UserError, ValueError):
    """A progressive GAN that cannot be made, or a call that does not fit it."""


def pixel_norm(maps: Tensor) -> Tensor:
    """Divide the C values of each position of ``maps`` (B, C, H, W) by their root mean square."""
    return maps * torch.rsqrt(maps.square().mean(dim=1, keepdim=True) + 1e-8)


def upsampled_kernel(kernel: Tensor) -> Tensor:
    """Turn 3 x 3 kernels (O, I, 3, 3) into (O, I, 4, 4), which upsample and convolve in one strided convolution.

    They are the sum of the four kernels shifted by one position; upsampling is to the nearest.
    """
    padded = F.pad(kernel, (1, 1, 1, 1))
    return padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]


class ScaledConv(nn.Module):
    """Convolve by unit-variance weights that are scaled when used (equalised learning rate), and add a bias.

    Args:
        in_channels: I.
        out_channels: O.
        kernel_size: of the kernel, positions.
        gain: the weights are multiplied by gain / sqrt(I * kernel_size^2).
        resample: upsample the maps before the convolution, or downsample them (mean of 2 x 2) after it.
        padding: zeros on each border, half the kernel by default.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        gain: float = math.sqrt(2),
        resample: Literal["upsample", "downsample"] | None = None,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / math.sqrt(in_channels * kernel_size * kernel_size)
        self.resample = resample
        self.padding = kernel_size // 2 if padding is None else padding

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve (B, I, H, W)."""
        kernel = self.weight * self.scale
        if self.resample == "upsample":
            kernel = upsampled_kernel(kernel).flip(2, 3).transpose(0, 1)
            return F.conv_transpose2d(maps, kernel, self.bias, stride=2, padding=1)
        if self.resample == "downsample":
            return F.conv2d(maps, upsampled_kernel(kernel) / 4, self.bias, stride=2, padding=1)
        return F.conv2d(maps, kernel, self.bias, padding=self.padding)


class GeneratorBlock(nn.Module):
    """Apply pixel norm, upsampling (in some blocks), 3 x 3 convolution, leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ScaledConv(in_channels, out_channels, 3, resample="upsample" if upsample else None)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, H, W) into (B, O, H, W), or (B, O, 2H, 2W)."""
        return F.leaky_relu(self.conv(pixel_norm(maps)), SLOPE)


class FirstBlock(nn.Module):
    """Apply pixel norm to the latent and a 4 x 4 convolution over its one position."""

    def __init__(self, latent_dim: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ScaledConv(latent_dim, out_channels, FIRST_RESOLUTION, padding=FIRST_RESOLUTION - 1)
        self.conv.scale = math.sqrt(2) / FIRST_RESOLUTION / math.sqrt(latent_dim)

    def forward(self, latents: Tensor) -> Tensor:
        """Turn (B, latent_dim, 1, 1) into (B, O, 4, 4)."""
        return F.leaky_relu(self.conv(pixel_norm(latents)), SLOPE)


class OutputBlock(nn.Module):
    """Apply pixel norm and a 1 x 1 convolution to RGB."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = ScaledConv(in_channels, 3, 1, gain=1.0)

    def forward(self, maps: Tensor) -> Tensor:
        """Turn (B, C, R, R) into images (B, 3, R, R)."""
        return self.conv(pixel_norm(maps))


def _check(latent_dim: int, widths: Sequence[int]) -> None:
    if latent_dim < 1 or not widths or min(widths) < 1:
        raise ProganError(
            f"latent_dim is {latent_dim} and widths {list(widths)}; expected a positive size and the channels at 4, 8, "
            "16 ... pixels, each positive"
        )


class ProganGenerator(nn.Module):
    """Generate images, in the published, fully grown form, by children ``layer1``, ``layer2``, ..., ``output``.

    Args:
        latent_dim: numbers in a latent.
        widths: channels at 4, 8, 16 ... pixels; images have 4 * 2^(len(widths) - 1), and two layers a width make them.
        tanh: bound images to [-1, 1] by clipping, as the original's ``output_tanh`` (a hard tanh) does.
    """

    def __init__(
        self, latent_dim: Width, widths: Annotated[list[Width], Field(min_length=1, max_length=20)], tanh: bool = False
    ) -> None:
        super().__init__()
        _check(latent_dim, widths)
        self.widths = list(widths)
        self.latent_dim = latent_dim
        self.tanh = tanh
        self.add_module("layer1", FirstBlock(latent_dim, widths[0]))
        self.add_module("layer2", GeneratorBlock(widths[0], widths[0]))
        for stage in range(1, len(widths)):
            self.add_module(f"layer{2 * stage + 1}", GeneratorBlock(widths[stage - 1], widths[stage], upsample=True))
            self.add_module(f"layer{2 * stage + 2}", GeneratorBlock(widths[stage], widths[stage]))
        self.output = OutputBlock(widths[-1])

    @property
    def layer_names(self) -> list[str]:
        """Return layer1 ... layerN, without the output."""
        return [f"layer{number}" for number in range(1, 2 * len(self.widths) + 1)]

    @property
    def resolution(self) -> int:
        """Return the height and width of the images, pixels."""
        return FIRST_RESOLUTION * 2 ** (len(self.widths) - 1)

    def as_maps(self, latents: Tensor) -> Tensor:
        """Return latents (B, latent_dim) or (B, latent_dim, 1, 1) as maps of one position.

        Raises ProganError at another size.
        """
        if tuple(latents.shape[1:]) not in ((self.latent_dim,), (self.latent_dim, 1, 1)):
            raise ProganError(f"found latents {tuple(latents.shape)}, expected (B, {self.latent_dim})")
        return latents.reshape(len(latents), self.latent_dim, 1, 1)

    def forward(self, latents: Tensor) -> Tensor:
        """Generate images (B, 3, R, R), roughly in [-1, 1], from latents (B, latent_dim), standard normal."""
        maps = self.as_maps(latents)
        for name in self.layer_names:
            maps = self.get_submodule(name)(maps)
        image = self.output(maps)
        return F.hardtanh(image) if self.tanh else image

    @torch.no_grad()
    def latent_weights(self) -> dict[str, Tensor]:
        """Return by layer the matrix (rows, latent_dim) that multiplies the latent, here of the first layer alone."""
        conv = self.get_submodule("layer1").conv
        return {"layer1": (conv.weight * conv.scale).movedim(1, 3).flatten(0, 2)}


def sizes(model: ProganGenerator) -> dict[str, tuple[int, int]]:
    """Return channels and resolution in pixels of each layer's maps, by name, in the order of the layers."""
    return {
        name: (model.widths[(number - 1) // 2], FIRST_RESOLUTION * 2 ** ((number - 1) // 2))
        for number, name in enumerate(model.layer_names, start=1)
    }
