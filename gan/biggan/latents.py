"""Latents and classes that are drawn, with truncation (arXiv:1809.11096, section 3.1)."""

from typing import NamedTuple

import torch
from torch import Tensor

from gan.biggan.layers import BigganError
from gan.class_generators import ClassGenerator


class Drawn(NamedTuple):
    """Keep what images are generated from."""

    latents: Tensor  # (B, latent_dim)
    classes: Tensor  # (B,) int64


def draw(
    generator: ClassGenerator,
    number: int,
    seed: int,
    classes: int | None = None,
    std: float = 1.0,
    truncation: float | None = None,
) -> Drawn:
    """Draw latents and classes on the CPU; they depend on the seed alone.

    The published ``prepare_z_y(z_var=0.5)`` has a variance of 1, since its argument is never used, and truncates
    nothing; here both are what they say.

    Args:
        generator: which says the sizes.
        number: B.
        seed: of the draws.
        classes: one class for all; None draws them uniformly.
        std: standard deviation of the normal.
        truncation: numbers beyond this many standard deviations are drawn again; smaller values trade variety for
            quality. None for no limit.

    Raises:
        BigganError: std or truncation is not above 0, or there is no such class.
    """
    if std <= 0 or (truncation is not None and truncation <= 0):
        raise BigganError(f"found std={std} and truncation={truncation}, expected values above 0")
    if classes is not None and not 0 <= classes < generator.num_classes:
        raise BigganError(f"found class {classes}, expected 0 to {generator.num_classes - 1}")
    source = torch.Generator().manual_seed(seed)
    latents = torch.randn(number, generator.latent_dim, generator=source)
    if truncation is not None:
        torch.nn.init.trunc_normal_(latents, a=-truncation, b=truncation, generator=source)
    drawn = torch.randint(generator.num_classes, (number,), generator=source)
    return Drawn(latents * std, drawn if classes is None else torch.full_like(drawn, classes))
