"""Which other pairs of a batch serve as impostors: drawn at random, or kept from being one.

The losses that meet them are in losses.py.
"""

import torch
from torch import Tensor

from losses import LossError


def draw_impostors(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw for each row another row of the batch, all others equally likely.

    Args:
        n: pairs in the batch, at least 2.
        generator: source of randomness on the CPU; torch's own when None.

    Returns:
        Indices (n,) int64 on the CPU, none equal to its own row.

    Raises:
        LossError: if n is below 2.
    """
    if n < 2:
        raise LossError(f"An impostor needs at least 2 pairs, got {n}. Raise the batch size.")
    draws = torch.randint(n - 1, (n,), generator=generator)
    return draws + (draws >= torch.arange(n))


def leave_out_same_image(scores: Tensor, images: Tensor) -> Tensor:
    """Lower the scores of pairs that share an image without being a pair, so that no loss takes them for impostors.

    Args:
        scores: (B, B), the diagonal holds the pairs.
        images: (B,) a number for each pair's image.

    Returns:
        (B, B).
    """
    shared = images[:, None] == images[None, :]
    shared.fill_diagonal_(False)
    return scores.masked_fill(shared, -1e4)
