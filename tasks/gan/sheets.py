"""Sheets of images: real ones, samples, interpolations between latents or classes.

Shape letters: N images, R height and width in pixels, D numbers in a latent.
"""

import numpy as np
import torch
from torch import Tensor

from datasets.class_images.dataset import ClassImages
from engine.task import Example
from evaluation.frechet import to_uint8
from gan.class_generators import ClassGenerator

COLUMNS = 8  # samples of a class
MOST_ROWS = 24  # classes on a sheet
AT_ONCE = 64  # images generated together


def tiled(images: Tensor, columns: int) -> np.ndarray:
    """Lay images (N, 3, R, R) uint8 in rows of ``columns``, (H, W, 3) uint8; an incomplete last row is left out."""
    rows, resolution = len(images) // columns, images.shape[-1]
    tiles = images[: rows * columns].unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)
    return tiles.reshape(rows * resolution, columns * resolution, 3).numpy()


def shown_classes(count: int) -> Tensor:
    """Return the numbers of at most ``MOST_ROWS`` classes of ``count``, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, MOST_ROWS)).round().long()


@torch.no_grad()
def drawn(generator: ClassGenerator, latents: Tensor, classes: Tensor, device: torch.device) -> Tensor:
    """Generate images (N, 3, R, R) uint8, on the CPU, of latents (N, D) and classes (N,), or embeddings (N, E)."""
    parts = zip(latents.split(AT_ONCE), classes.split(AT_ONCE), strict=True)
    return torch.cat([to_uint8(generator(a.to(device), b.to(device))).cpu() for a, b in parts])


def class_sheet(generator: ClassGenerator, data: ClassImages, device: torch.device, seed: int) -> np.ndarray:
    """Return a row for each class, (H, W, 3) uint8: samples over latents of the ``seed``, and one real image."""
    classes = shown_classes(data.num_classes)
    latents = torch.randn(len(classes) * COLUMNS, generator.latent_dim, generator=torch.Generator().manual_seed(seed))
    images = drawn(generator, latents, classes.repeat_interleave(COLUMNS), device).unflatten(0, (len(classes), COLUMNS))
    real = torch.stack([_first(data, int(number)) for number in classes])
    return tiled(torch.cat([images, real[:, None]], dim=1).flatten(0, 1), COLUMNS + 1)


def _first(data: ClassImages, number: int) -> Tensor:
    """Return the first held-out image of a class (3, R, R) uint8; black where there is none."""
    rows = np.flatnonzero(data.validation_classes == number)
    if not len(rows):
        return torch.zeros(3, data.size, data.size, dtype=torch.uint8)
    return torch.from_numpy(np.array(data.validation[rows[0]])).permute(2, 0, 1)


def class_examples(data: ClassImages) -> list[Example]:
    """Return the first three validation images with their classes."""
    images, classes = next(data.validation_batches(3))
    pairs = zip(images.permute(0, 2, 3, 1).numpy(), classes.tolist(), strict=True)
    return [Example(image, None, data.class_names[number]) for image, number in pairs]
