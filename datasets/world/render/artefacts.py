"""Makes clean renders look like imperfect samples of a generator, so that a segmenter trained on them reads samples.

Each error is random for each image: bent outlines, lost detail, shifted colours, blotches and noise.
Shape letters: B images, H, W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BEND = 0.03  # largest standard deviation of the displacement, as a fraction of the image
BEND_CELLS = 7
BLOTCH_CELLS = (5, 11)


def like_generated(
    images: Tensor, numbers: Tensor, generator: torch.Generator, strength: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Spoil images (B, 3, H, W) in [-1, 1] on the CPU, and bend their labels (B, L, H, W) with them.

    A ``strength`` of 0 changes nothing, 1 is about what a small progressive GAN does.
    """
    B = len(images)
    images, numbers = _bent(images, numbers, generator, strength)
    images = _less_detail(images, generator, strength)
    gain = 1 + 0.08 * strength * torch.randn(B, 3, 1, 1, generator=generator)
    shift = 0.06 * strength * torch.randn(B, 3, 1, 1, generator=generator)
    images = images * gain + shift
    for cells in BLOTCH_CELLS:
        images = images + _field(B, 3, cells, images.shape[2:], generator) * _amount(B, 0.06 * strength, generator)
    noise = torch.randn(images.shape, generator=generator)
    return (images + noise * _amount(B, 0.06 * strength, generator)).clamp(-1, 1), numbers


def _amount(count: int, most: float, generator: torch.Generator) -> Tensor:
    """Return a strength for each image, small ones more often, (B, 1, 1, 1)."""
    return most * torch.rand(count, 1, 1, 1, generator=generator) ** 2


def _field(
    count: int, channels: int, cells: int, size: torch.Size | tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Return smooth noise of unit variance at its nodes, (B, C, H, W)."""
    nodes = torch.randn(count, channels, cells, cells, generator=generator)
    return F.interpolate(nodes, size, mode="bicubic", align_corners=True)


def _bent(images: Tensor, numbers: Tensor, generator: torch.Generator, strength: float) -> tuple[Tensor, Tensor]:
    """Move every point a little, its neighbours alike."""
    B, _, H, W = images.shape
    shift = _field(B, 2, BEND_CELLS, (H, W), generator) * _amount(B, BEND * strength, generator)
    rows = (2 * torch.arange(H) + 1) / H - 1
    columns = (2 * torch.arange(W) + 1) / W - 1
    grid = torch.stack([columns.expand(H, W), rows[:, None].expand(H, W)], -1) + shift.permute(0, 2, 3, 1)
    bent = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    labels = F.grid_sample(numbers.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return bent, labels.round().to(numbers.dtype)


def _less_detail(images: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    """Mix each image with a blurred copy of itself."""
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    softer = F.avg_pool2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = strength * torch.rand(2, len(images), 1, 1, 1, generator=generator) ** 2
    return torch.lerp(torch.lerp(images, blurred, share[0]), softer, share[1])
