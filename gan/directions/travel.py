"""Images along a direction, and between two latents, as schwettmann/visual-vocab shows them.

Shape letters: D numbers in a latent, N steps, R pixels high and wide.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan.directions.directions import DirectionError, shifted
from gan.directions.subjects import Subjects, draw_images

ALPHAS = (-6.0, -3.0, 0.0, 3.0, 6.0)  # of unit vectors; the published notebooks show up to 6, below 10


def strip(
    generator: nn.Module,
    subject: Subjects,
    direction: Tensor,
    alphas: Sequence[float] = ALPHAS,
    normalise: bool = True,
) -> Tensor:
    """Generate G(z + alpha d) for each alpha.

    Args:
        generator: in evaluation mode.
        subject: one latent (1, D), and its class.
        direction: (D,).
        alphas: N lengths of the step.
        normalise: count them in units of the direction's unit vector, as published images do.

    Returns:
        (N, 3, R, R).

    Raises:
        DirectionError: sizes do not fit, or there is no alpha.
    """
    if not alphas or subject.latents.shape[0] != 1:
        raise DirectionError(f"found {len(subject.latents)} latents and alphas {list(alphas)}, expected one and some")
    zero = torch.zeros_like(direction)
    moved = [shifted(subject.latents, direction if alpha else zero, alpha, normalise) for alpha in alphas]
    classes = None if subject.classes is None else subject.classes.expand(len(alphas))
    return draw_images(generator, Subjects(torch.cat(moved), classes))


def interpolated(start: Tensor, end: Tensor, midpoints: int) -> Tensor:
    """Return latents (midpoints + 2, D) on the line from ``start`` (D,) to ``end`` (D,), both included.

    The published ``interp(x0, x1, num_midpoints)``. Raises DirectionError where sizes do not fit.
    """
    if start.shape != end.shape or start.dim() != 1 or midpoints < 0:
        raise DirectionError(
            f"found latents {tuple(start.shape)} and {tuple(end.shape)} with {midpoints} between them, expected two of "
            "one size and at least 0"
        )
    weights = torch.linspace(0, 1, midpoints + 2, dtype=start.dtype, device=start.device)[:, None]
    return start * (1 - weights) + end * weights


def journey(generator: nn.Module, start: Subjects, end: Tensor, midpoints: int) -> Tensor:
    """Generate images (midpoints + 2, 3, R, R) from one latent (1, D), whose class is kept, to another (D,)."""
    between = interpolated(start.latents[0], end, midpoints)
    classes = None if start.classes is None else start.classes.expand(len(between))
    return draw_images(generator, Subjects(between, classes))
