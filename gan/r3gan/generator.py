"""R3GAN's generator (arXiv:2501.05441): residual blocks without norm, from a class and a latent to an image.

Follows brownvc/R3GAN ``R3GAN/Networks.py`` in small. Its finest maps may stand for squares of ``patch`` pixels
(arXiv:1609.05158), which on a CPU saves three quarters of the work that the finest resolution would be.

Shape letters: B images, C channels, H, W height and width of a map, R height and width of the image, E size of a
class's embedding, D numbers in a latent.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from config.limits import Depth, Width
from gan.r3gan.layers import FIRST_RESOLUTION, Basis, R3ganError, ResidualBlock, Upsample, class_embedding, draw_weights

Widths = Annotated[list[Width], Field(min_length=2, max_length=12)]
Depths = Annotated[list[Depth], Field(min_length=2, max_length=12)]


class FirstStage(nn.Module):
    """Turn conditions (B, E + D) into maps (B, C, 4, 4)."""

    def __init__(self, inputs: int, channels: int, blocks: list[ResidualBlock]) -> None:
        super().__init__()
        self.basis = Basis(inputs, channels)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, conditions: Tensor) -> Tensor:
        """Scale the basis, then run the blocks."""
        return self.blocks(self.basis(conditions))


class Stage(nn.Module):
    """Double the resolution of maps (B, C, H, W), to (B, O, 2H, 2W), then run residual blocks."""

    def __init__(self, channels: int, out_channels: int, blocks: list[ResidualBlock]) -> None:
        super().__init__()
        self.resample = Upsample(channels, out_channels)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, maps: Tensor) -> Tensor:
        """Resample, then run the blocks."""
        return self.blocks(self.resample(maps))


class OutputLayer(nn.Module):
    """Turn the last maps (B, C, H, W) into images (B, 3, R, R); each cell becomes ``patch`` x ``patch`` pixels.

    All pixels of a cell begin with the same weights, so that there is no chequered pattern to unlearn
    (arXiv:1707.02937).
    """

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        size = 1 if patch == 1 else 3
        self.conv = nn.Conv2d(channels, 3 * patch**2, size, padding=size // 2)
        self.patch = patch
        draw_weights(self.conv)
        with torch.no_grad():
            self.conv.weight.copy_(self.conv.weight[:: patch**2].repeat_interleave(patch**2, dim=0))

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve and lay out."""
        return F.pixel_shuffle(self.conv(maps), self.patch)


class R3ganGenerator(nn.Module):
    """Generate images of classes, by children ``layer0`` (4 x 4 cells), ``layer1`` ..., ``output``.

    Args:
        widths: channels at 4, 8, 16 ... cells; images have 4 * 2^(len(widths) - 1) * patch pixels.
        latent_dim: D.
        num_classes: classes of images; 1 for none.
        class_dim: E.
        blocks: residual blocks of each resolution, 2 as published; one of each by default.
        expansion: channels within a block are so many times those outside, 2 as published.
        group_width: channels of a group of the middle convolutions, 16 as published for ImageNet at 64 pixels.
        patch: height and width in pixels of the square that a cell of the last maps stands for, 1 as published.

    Raises:
        R3ganError: there is another number of blocks than of widths, or widths are not divisible into groups.
    """

    def __init__(
        self,
        widths: Widths,
        latent_dim: Width = 64,
        num_classes: Width = 1,
        class_dim: Width = 64,
        blocks: Depths | None = None,
        expansion: Annotated[int, Field(gt=0, le=16)] = 2,
        group_width: Width = 16,
        patch: Literal[1, 2, 4] = 1,
    ) -> None:
        super().__init__()
        depths = depths_of(widths, blocks)
        self.widths, self.latent_dim = list(widths), latent_dim
        self.num_classes, self.class_dim = num_classes, class_dim
        self.resolution = FIRST_RESOLUTION * 2 ** (len(widths) - 1) * patch
        self.classes = class_embedding(num_classes, class_dim)

        def row(stage: int) -> list[ResidualBlock]:
            made = (ResidualBlock(widths[stage], expansion, group_width, sum(depths)) for _ in range(depths[stage]))
            return list(made)

        self.layer0 = FirstStage(latent_dim + class_dim, widths[0], row(0))
        for number in range(1, len(widths)):
            self.add_module(f"layer{number}", Stage(widths[number - 1], widths[number], row(number)))
        self.output = OutputLayer(widths[-1], patch)

    @property
    def layer_names(self) -> list[str]:
        """Return layer0 ... layerN, without the output."""
        return [f"layer{number}" for number in range(len(self.widths))]

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """Generate images (B, 3, R, R), roughly in [-1, 1].

        ``latents`` are (B, D), standard normal; ``classes`` (B,) int64, or embeddings (B, E), which may lie between
        classes. Raises R3ganError where a size does not fit or there is no such class.
        """
        if latents.dim() != 2 or latents.shape[1] != self.latent_dim:
            raise R3ganError(f"found latents {tuple(latents.shape)}, expected (B, {self.latent_dim})")
        maps = self.layer0(torch.cat([latents, self._embedded(classes, len(latents))], dim=1))
        for number in range(1, len(self.widths)):
            maps = self.get_submodule(f"layer{number}")(maps)
        return self.output(maps)

    @torch.no_grad()
    def latent_weights(self) -> dict[str, Tensor]:
        """Return the matrix (C, D) that multiplies the latent in the first layer."""
        return {"layer0": self.layer0.basis.scale.weight[:, : self.latent_dim]}

    def regularised_weights(self) -> list[Tensor]:
        """Return the weights that orthogonal regularisation acts on: all of two axes or more but the embedding's."""
        kept = (self.classes.weight, self.layer0.basis.maps)
        return [weight for weight in self.parameters() if weight.dim() > 1 and all(weight is not one for one in kept)]

    def _embedded(self, classes: Tensor, batch: int) -> Tensor:
        if classes.is_floating_point():
            if classes.shape != (batch, self.class_dim):
                raise R3ganError(f"found embeddings {tuple(classes.shape)}, expected ({batch}, {self.class_dim})")
            return classes
        check_classes(classes, batch, self.num_classes)
        return self.classes(classes)


def depths_of(widths: list[int], blocks: list[int] | None) -> list[int]:
    """Return the blocks of each resolution, one by default; raise R3ganError for another number than of ``widths``."""
    if blocks is not None and len(blocks) != len(widths):
        raise R3ganError(f"found blocks {blocks} for widths {widths}; expected one number for each width")
    return [1] * len(widths) if blocks is None else list(blocks)


def check_classes(classes: Tensor, batch: int, number: int) -> None:
    """Raise R3ganError for anything but ``batch`` classes (B,) from 0 to below ``number``."""
    if classes.shape != (batch,):
        raise R3ganError(f"found classes {tuple(classes.shape)}, expected ({batch},), one for each image")
    if batch and not 0 <= int(classes.min()) <= int(classes.max()) < number:
        outside = int(classes.min() if classes.min() < 0 else classes.max())
        raise R3ganError(f"found class {outside}, expected 0 to {number - 1}")
