"""What images are generated from: latents, and classes of generators that take them.

A generator with the attribute ``num_classes`` takes latents and classes; ``class_names`` may name them. Shape letters:
Z latents, D numbers in a latent, R pixels high and wide.
"""

import difflib
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan.directions.activations import Batches, images_of
from gan.directions.directions import DirectionError
from gan.latents import latent_dim_of


class Subjects(NamedTuple):
    """Keep what images are generated from."""

    latents: Tensor  # (Z, D)
    classes: Tensor | None  # (Z,) int64; None of generators without classes

    def take(self, rows: Tensor) -> "Subjects":
        """Return some rows."""
        return Subjects(self.latents[rows], None if self.classes is None else self.classes[rows])


def draw_subjects(
    generator: nn.Module,
    number: int,
    seed: int = 0,
    of_class: str | int | None = None,
    std: float = 1.0,
    truncation: float | None = None,
) -> Subjects:
    """Draw latents and classes on the CPU; they depend on the seed alone.

    Args:
        generator: tells the sizes.
        number: Z.
        seed: of the draws.
        of_class: name or number of one class for all; None draws them uniformly.
        std: standard deviation of the normal.
        truncation: numbers beyond this many standard deviations are drawn again; None for no limit.

    Raises:
        DirectionError: std or truncation is not above 0, or the generator has no such class.
    """
    if std <= 0 or (truncation is not None and truncation <= 0):
        raise DirectionError(f"found std={std} and truncation={truncation}, expected values above 0")
    source = torch.Generator().manual_seed(seed)
    latents = torch.randn(number, latent_dim_of(generator), generator=source)
    if truncation is not None:
        torch.nn.init.trunc_normal_(latents, a=-truncation, b=truncation, generator=source)
    many = number_of_classes(generator)
    if of_class is not None:
        index = class_index(generator, of_class)
        return Subjects(latents * std, torch.full((number,), index))
    return Subjects(latents * std, torch.randint(many, (number,), generator=source) if many else None)


def number_of_classes(generator: nn.Module) -> int:
    """Return how many classes a generator takes beside latents; 0 where it takes latents alone."""
    return int(getattr(generator, "num_classes", 0) or 0)


def class_names(generator: nn.Module) -> list[str]:
    """Return the names of the classes, their numbers as text where the generator names none."""
    names = getattr(generator, "class_names", None)
    return list(names) if names else [str(number) for number in range(number_of_classes(generator))]


def class_index(generator: nn.Module, of_class: str | int) -> int:
    """Return the number of a class that is given by name or number.

    Raises DirectionError, which names the nearest ones, where there is none.
    """
    names = class_names(generator)
    if not names:
        raise DirectionError(f"{type(generator).__name__} has no classes; leave out the class, found {of_class!r}")
    if isinstance(of_class, str) and of_class in names:
        return names.index(of_class)
    text = str(of_class)
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < len(names):
        return int(text)
    near = difflib.get_close_matches(text, names, n=3)
    shown = ", ".join(near or names[:3])
    raise DirectionError(f"there is no class {of_class!r}; expected 0 to {len(names) - 1}, or a name such as {shown}")


@torch.no_grad()
def draw_images(generator: nn.Module, subjects: Subjects, batch_size: int = 64) -> Tensor:
    """Generate images (Z, 3, R, R), at most ``batch_size`` at a time, half as many when memory is lacking."""

    def draw(latents: Tensor, classes: Tensor | None) -> tuple[Tensor]:
        return (images_of(generator, latents, classes),)

    return Batches(batch_size).map(draw, *subjects)[0]
