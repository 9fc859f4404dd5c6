"""Show a concept: ``python run.py -f visual_vocab/show.yaml concept=red alpha=6 class=cube``.

before_after.png   pairs of images
pictures/          strips from -alpha to alpha, an animation
report.html        all of them
"""

import logging
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import nn

import config
from common import distributed
from common.files import write_whole
from config.limits import Count, Seed
from datasets.media_files import encode_image
from engine.context import Context
from engine.logs import say
from engine.run_folder import RunSettings
from evaluation.report.strips import Animation, sheet
from gan.directions.files import load_vocabularies
from gan.directions.subjects import Subjects, draw_images
from models.segmenter.network import AttributeSegmenter
from tasks.results import results_folder, write_results
from tasks.visual_vocab.mover import Mover, pictures
from tasks.visual_vocab.pictures import (
    Alpha,
    PictureSettings,
    sections_of,
    strip_of,
    write_animations,
    write_pictures,
)

log = logging.getLogger(__name__)
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of alpha, in a strip


def show(
    vocabulary: Path,
    generator: nn.Module,
    concept: str | Annotated[list[str], Field(min_length=1)],
    context: Context,
    alpha: Alpha = 6.0,
    class_: str | int | None = None,
    images: Count = 8,
    seed: Seed = 0,
    animation: Animation | None = "gif",
    segmenter: AttributeSegmenter | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Generate images before and after a step along a concept, and write them.

    Args:
        vocabulary: ``vocabulary.safetensors`` of ``visual_vocab/distil.yaml``.
        generator: that it was distilled for.
        concept: a word, or several whose steps are added.
        context: given by run.py.
        alpha: length of each step, in units of a unit vector; below 0 for less of it.
        class_: name or number of a class of images; None for any.
        images: number of latents.
        seed: of the latents.
        animation: ``gif`` or ``mp4`` of the first latent; None for none.
        segmenter: tells the class of images, by their largest object, of a generator without classes.
        run: folder of the results.

    Raises:
        UserError: the vocabulary is missing or another generator's, it has no such word, or there is no such class.
    """
    words = [concept] if isinstance(concept, str) else concept
    generator = generator.to(distributed.pick_device()).eval().requires_grad_(False)
    mover = Mover(generator, load_vocabularies(vocabulary)[0], segmenter)
    direction = mover.direction(words, None if class_ is None else str(class_))
    subjects = mover.subjects(1 if context.dry_run else images, seed, class_)
    length = direction.norm().item()
    moved = Subjects(subjects.latents + alpha * direction, subjects.classes)
    before, after = (pictures(draw_images(generator, part)) for part in (subjects, moved))
    with results_folder(context, run) as folder:
        if context.dry_run:
            log.info("dry run: %s by %g, %d pixels", " + ".join(words), alpha, len(before[0]))
            return
        path = folder.path / "before_after.png"
        write_whole(path, encode_image(sheet([before, after]), "png"))
        alphas = [step * alpha * length for step in STEPS]
        title = " + ".join(words)
        strips = [
            strip_of(generator, subjects.take(slice(row, row + 1)), f"{row}: {title}", direction, alphas)
            for row in range(images)
        ]
        settings = PictureSettings(alphas=sorted(alphas), animation=animation)
        written = [path, *write_pictures(folder.path, strips, [])]
        first = subjects.take(slice(0, 1))
        written += write_animations(folder.path, generator, first, direction[None], ["concept"], settings)
        write_results(folder, context, title, {"images": float(images), "alpha": float(alpha)}, sections_of(strips, []))
        for one in written:
            say(config.short(one))
