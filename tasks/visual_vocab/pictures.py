"""Images of directions and words: strips G(z + alpha d), ways between two latents, animations, a sheet for a report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from common.files import write_whole
from config.limits import CountOrZero
from datasets.media_files import encode_image
from evaluation.report.strips import STYLE, Animation, Strip, sheet, strips_html, write_animation
from gan.directions.subjects import Subjects, class_names
from gan.directions.travel import ALPHAS, journey, strip
from gan.images import to_uint8

Alpha = Annotated[float, Field(ge=-100, le=100)]
FRAMES = 13  # of an animation, between the smallest and the largest alpha
FOLDER = "pictures"


@dataclass(frozen=True)
class PictureSettings:
    """What is shown.

    Attributes:
        latents: shown of each direction; 0 for no images.
        directions: shown of each latent.
        alphas: lengths of the steps in units of a unit vector.
        midpoints: images between two latents, on the line from one to the next.
        animation: ``gif`` or ``mp4``, of the first latent and every direction that is shown; None for none.
    """

    latents: CountOrZero = 4
    directions: CountOrZero = 8
    alphas: Annotated[list[Alpha], Field(min_length=1, max_length=41)] = field(default_factory=lambda: list(ALPHAS))
    midpoints: Annotated[int, Field(ge=0, le=200)] = 5
    animation: Animation | None = "gif"


def strip_of(generator: nn.Module, subject: Subjects, title: str, direction: Tensor, alphas: Sequence[float]) -> Strip:
    """Return images (R, R, 3) uint8 of one latent along a direction (D,), with their alphas."""
    images = strip(generator, subject, direction, alphas)
    return Strip(title, [to_uint8(image).numpy() for image in images], [f"{alpha:+g}" for alpha in alphas])


def strips_of(
    generator: nn.Module,
    subjects: Subjects,
    directions: Sequence[Tensor],
    titles: Sequence[str],
    settings: PictureSettings,
) -> Iterator[Strip]:
    """Yield a strip for each of the first latents and directions, latent after latent.

    ``directions`` are (K, D) for all latents, or for each of them, with K ``titles``.
    """
    names = class_names(generator)
    for row in range(min(settings.latents, len(subjects.latents))):
        subject = subjects.take(slice(row, row + 1))
        of_class = f" of class {names[int(subject.classes[0])]}" if subject.classes is not None else ""
        own = directions[row if len(directions) > 1 else 0]
        for direction, title in zip(own[: settings.directions], titles, strict=False):
            yield strip_of(generator, subject, f"latent {row}{of_class}: {title}", direction, settings.alphas)


def journeys_of(generator: nn.Module, subjects: Subjects, settings: PictureSettings) -> Iterator[Strip]:
    """Yield the images on the line from each latent that is shown to the next one; the first one's class is kept."""
    for row in range(min(settings.latents, len(subjects.latents)) - 1):
        images = journey(generator, subjects.take(slice(row, row + 1)), subjects.latents[row + 1], settings.midpoints)
        shares = [f"{100 * step / (settings.midpoints + 1):.0f} %" for step in range(settings.midpoints + 2)]
        yield Strip(f"latent {row} to {row + 1}", [to_uint8(image).numpy() for image in images], shares)


def write_pictures(folder: Path, strips: Sequence[Strip], journeys: Sequence[Strip]) -> list[Path]:
    """Write all strips as one PNG, and all journeys as another; return their paths."""
    written = []
    for name, rows in (("strips.png", strips), ("interpolations.png", journeys)):
        if rows:
            path = folder / FOLDER / name
            write_whole(path, encode_image(sheet([row.images for row in rows]), "png"))
            written.append(path)
    return written


def write_animations(
    folder: Path,
    generator: nn.Module,
    subject: Subjects,
    directions: Tensor,
    names: Sequence[str],
    settings: PictureSettings,
) -> list[Path]:
    """Write an animation of one latent along each direction (K, D), by the names of its files; return their paths."""
    if settings.animation is None:
        return []
    alphas = np.linspace(min(settings.alphas), max(settings.alphas), FRAMES).tolist()
    return [
        write_animation(
            folder / FOLDER / name, strip_of(generator, subject, name, direction, alphas).images, settings.animation
        )
        for direction, name in zip(directions[: settings.directions], names, strict=False)
    ]


def sections_of(strips: Sequence[Strip], journeys: Sequence[Strip]) -> list[tuple[str, str]]:
    """Return the sections of a report with these images."""
    style = f"<style>{STYLE}</style>"
    found = [("Images along directions", style + strips_html(strips))] if strips else []
    return found + ([("Images between latents", strips_html(journeys))] if journeys else [])
