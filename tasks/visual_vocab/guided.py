"""Edit images with two guidance scales: ``python run.py -f visual_vocab/guided.yaml``.

One sheet of each latent: rows are scales of the picture, columns are scales of the word. Needs a generator that was
trained with dropped conditions (``null_class``).
"""

import logging
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
from evaluation.report.strips import STYLE, Strip, sheet, strips_html
from gan.directions.guidance import guided_images, null_class
from gan.directions.subjects import class_index, draw_subjects
from tasks.results import results_folder, write_results
from tasks.visual_vocab.mover import pictures

log = logging.getLogger(__name__)
Scale = Annotated[float, Field(ge=-20, le=20)]
Scales = Annotated[list[Scale], Field(min_length=1, max_length=20)]


def guide(
    generator: nn.Module,
    class_: str | int,
    context: Context,
    layer: str | None = None,
    picture_scales: Scales = [0.0, 0.5, 1.0],  # noqa: B006  never changed
    word_scales: Scales = [0.0, 1.0, 2.0, 4.0],  # noqa: B006  never changed
    images: Count = 4,
    seed: Seed = 0,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Generate images of a class with every pair of scales and write a sheet of each latent.

    Args:
        generator: trained with dropped conditions.
        class_: name or number of the class, the word.
        context: given by run.py.
        layer: whose outputs are combined; None combines images.
        picture_scales: of the latent, rows of a sheet.
        word_scales: of the class, columns of a sheet.
        images: number of latents.
        seed: of the latents.
        run: folder of the results.

    Raises:
        UserError: the generator was trained without dropped conditions, or there is no such class or layer.
    """
    generator = generator.to(distributed.pick_device()).eval().requires_grad_(False)
    null_class(generator)
    index = class_index(generator, class_)
    device = next(generator.parameters()).device
    subjects = draw_subjects(generator, 1 if context.dry_run else images, seed, index)
    latents, classes = subjects.latents.to(device), subjects.classes.to(device)
    made = {
        (p, w): pictures(guided_images(generator, latents, classes, p, w, layer))
        for p in picture_scales
        for w in word_scales
    }
    with results_folder(context, run) as folder:
        if context.dry_run:
            log.info("dry run: %d pairs of scales, %d pixels", len(made), len(next(iter(made.values()))[0]))
            return
        strips = [
            Strip(f"{row}: picture {p:g}", [made[p, w][row] for w in word_scales], [f"word {w:g}" for w in word_scales])
            for row in range(images)
            for p in picture_scales
        ]
        for row in range(images):
            path = folder.path / f"guided_{row}.png"
            rows = [[made[p, w][row] for w in word_scales] for p in picture_scales]
            write_whole(path, encode_image(sheet(rows), "png"))
            say(config.short(path))
        html = f"<style>{STYLE}</style>{strips_html(strips)}"
        write_results(folder, context, "guidance", {"images": float(images)}, [("Scales of picture and word", html)])
