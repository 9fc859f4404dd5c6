"""Write images from captions to files: ``python run.py -f attngan/sample.yaml text="a red bird"``.

Names are those of taoxugit/AttnGAN ``code/trainer.py`` (``gen_example``, and ``sampling`` for B_VALIDATION):

    NAME/{copy}_s_{sentence}_g{k}.png   image of stage k, of a sentence of the file NAME.txt
    NAME/{copy}_s_{sentence}_a{k}.png   attention of a later stage: the five best words
    NAME/{copy}_s_{sentence}_w{k}.png   the same: every word, in order and on one scale; not in the public code
    valid/single/KEY_s-1.png            last stage, of one caption of the image KEY of a split
    valid/single/KEY_s-1_{number}.png   the same, where every caption is taken
    valid.json, vocabulary.json         these images with their captions, as attngan/score.yaml and data sets read them
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

import config
from common import distributed
from common.errors import UserError
from common.files import sweep, write_whole
from common.parallel import locked
from config import Deferred
from config.limits import BatchSize, Count
from config.resolve import shortened
from datasets.loading.rows import report_problems
from datasets.media_files import encode_image, write_json
from datasets.sharded_build import is_complete
from datasets.text_image.dataset import CaptionedImages
from datasets.text_image.example_files import read_example_captions
from datasets.text_image.own_files import VOCABULARY
from datasets.text_image.vocabulary import VocabularyError, write_vocabulary_file
from engine.context import Context
from engine.logs import progress, say
from models.weights import weights_digest
from tasks.attngan.sampling.text_to_image import HALF, Draw, Generated, TextToImage
from tasks.attngan.trained import TextImageSource, Words

log = logging.getLogger(__name__)
Images = Annotated[Callable[..., CaptionedImages], Deferred("train", "on_error")]
VALID, STATE = "valid", "samples.json"
SHOWN = 5  # words of a message


class SamplingError(UserError, ValueError):
    """Images that cannot be put where they were asked for."""


class Row(NamedTuple):
    """An image of a split that is generated from one of its captions."""

    name: str  # of the file, below valid/
    caption: str
    kind: str  # name of its class
    index: int  # of the image in the split
    number: int  # of the caption among the image's own


def sample(
    model: TextImageSource,
    output: Path,
    context: Context,
    text: str | None = None,
    captions: Path | None = None,
    data: Images | None = None,
    validation: bool = False,
    every_caption: bool = False,
    copies: Count = 1,
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 100,
    batch_size: BatchSize = 16,
) -> None:
    """Generate images from captions and write them, each with the attention of its words.

    Args:
        model: text encoder and generator.
        output: folder of the images.
        context: given by run.py.
        text: one caption, instead of those of a file.
        captions: ``example_filenames.txt``, which names files of captions, or one such file, a caption a line.
        data: dataset whose captions are taken for ``validation``.
        validation: generate an image for each image of ``data`` instead, as published by B_VALIDATION; what is there
            from an earlier call is not generated again.
        every_caption: of each image of ``data``; otherwise one that the seed draws.
        copies: images of each caption of ``text`` or ``captions``.
        seed: of the noise, and of the captions that are drawn; 100 as published.
        batch_size: images generated at a time.

    Raises:
        UserError: the model, the captions or the data cannot be read, a caption has no word that the model knows, or
            the folder holds images of other settings.
    """
    if not validation:
        _write_examples(_examples(text, captions), model, output, context.dry_run, copies, seed, batch_size)
        return
    if data is None:
        raise SamplingError("data is null with validation: true, expected the dataset whose captions are taken")
    split = data(train=False, on_error="error")
    rows = list(_rows(split, every_caption, seed))
    trained = _load(model, batch_size)
    _check_words(trained.words, split.source, {row.name: row.caption for row in rows})
    if context.dry_run:
        made = next(trained.draw([_draw(rows[0], seed)]))
        log.info("dry run: %d images of %s, %d pixels", len(rows), split.source, len(made.images[-1]))
        return
    context.after_stop = lambda: "the same command goes on where it was"
    _write_split(trained, rows, split, output, seed, every_caption)


def _load(source: TextImageSource, batch_size: int) -> TextToImage:
    return TextToImage.of(source, distributed.pick_device(), batch_size)


def _examples(text: str | None, captions: Path | None) -> dict[str, list[str]]:
    """Return captions by the names of their files."""
    if text is not None:
        return {"text": [text]}
    if captions is None:
        raise SamplingError('found neither text nor captions; expected text="a red bird", or captions=FILE')
    return read_example_captions(captions)


def _write_examples(
    asked: Mapping[str, Sequence[str]],
    source: TextImageSource,
    output: Path,
    dry_run: bool,
    copies: int,
    seed: int,
    batch_size: int,
) -> None:
    """Generate and write every stage of each caption, with its attention; what was there is written over."""
    model = _load(source, batch_size)
    named = [(name, number, caption) for name, own in asked.items() for number, caption in enumerate(own)]
    _check_words(model.words, output, {f"{name}, caption {number}": caption for name, number, caption in named})
    draws = [Draw(caption, seed, number, copy) for _, number, caption in named for copy in range(copies)]
    folders = [name for name, _, _ in named for _ in range(copies)]
    if dry_run:
        made = next(model.draw(draws[:1]))
        log.info("dry run: %d images, stages of %s pixels", len(draws), [len(image) for image in made.images])
        return
    for folder, made in progress(zip(folders, model.draw(draws), strict=True), len(draws), "images"):
        stem = output / folder / f"{made.draw.copy}_s_{made.draw.index}"
        for ending, image in _named_images(made):
            write_whole(stem.with_name(f"{stem.name}_{ending}.png"), encode_image(image, "png"))
    say(f"{len(draws)} images of {len(named)} captions, each in {len(model.resolutions)} stages")
    for name in asked:
        say(config.short(output / name))


def _named_images(made: Generated) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is written of an image, by the ending of its name."""
    for stage, image in enumerate(made.images):
        yield f"g{stage}", image
    for stage in range(len(made.attention)):
        yield f"a{stage}", made.sheet(stage)
        yield f"w{stage}", made.sheet(stage, best=None)


def _rows(split: CaptionedImages, every_caption: bool, seed: int) -> Iterator[Row]:
    """Yield what is generated of a split, in its order."""
    paths = [split.content.path(index).relative_to(split.content.images).as_posix() for index in range(len(split))]
    keys = [PurePosixPath(path).with_suffix("").as_posix() for path in paths]
    if len(set(keys)) < len(keys):  # x.png beside x.jpg
        keys = paths
    for index, key in enumerate(keys):
        own = len(split.captions_of(index))
        drawn = int(np.random.RandomState([seed % HALF, seed // HALF, index]).randint(own))
        for number in range(own) if every_caption else [drawn]:
            ending = f"_s-1_{number}" if every_caption else "_s-1"
            text = split.text(index, number)
            yield Row(f"single/{key}{ending}.png", text, split.class_name(index), index, number)


def _draw(row: Row, seed: int) -> Draw:
    return Draw(row.caption, seed, row.index, row.number)


def _check_words(words: Words, source: Path, captions: Mapping[str, str]) -> None:
    """Refuse captions without a known word before anything is generated, and log how many words are not read."""
    problems, unknown, left_out = [], [], 0
    for name, caption in captions.items():
        try:
            unknown += words.tokens([caption]).unknown[0]
            left_out += len(words.left_out(caption))
        except VocabularyError:
            problems.append(f"{name}: no word of {shortened(caption)} is known")
    report_problems(source, problems, f"the model knows {len(words.vocabulary) - 1} words; use some of them")
    if unknown:
        some = ", ".join(list(dict.fromkeys(unknown))[:SHOWN])
        log.warning("%d words are not read, as the model does not know them, such as %s", len(unknown), some)
    if left_out:
        log.warning("%d words are not read, as captions have more than %d", left_out, words.max_words)


def _write_split(
    model: TextToImage, rows: Sequence[Row], split: CaptionedImages, output: Path, seed: int, every_caption: bool
) -> None:
    """Generate what is missing of a split, and write the list of all its images."""
    folder = output / VALID
    settings = {
        "weights": f"{weights_digest(model.text)} {weights_digest(model.generator)}",
        "data": split.digest(),
        "seed": seed,
        "every_caption": every_caption,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        is_complete(folder / STATE, settings, SamplingError, ("no samples", "other samples", "output"))
        write_json(folder / STATE, {"settings": settings, "complete": False})
        sweep(folder)
        missing = [row for row in rows if not (folder / row.name).is_file()]
        there = len(rows) - len(missing)
        if there:
            log.info("%d of %d are there from an earlier call", there, len(rows))
        made = model.draw(_draw(row, seed) for row in missing)
        for row, one in progress(zip(missing, made, strict=True), len(rows), "images", there):
            write_whole(folder / row.name, encode_image(one.images[-1], "png"))
        listed = [{"image": f"{VALID}/{row.name}", "captions": [row.caption], "class": row.kind} for row in rows]
        write_vocabulary_file(output / VOCABULARY, model.words.vocabulary)  # so that the folder is a data set too
        write_json(output / f"{VALID}.json", listed)
        write_json(folder / STATE, {"settings": settings, "complete": True})
    captions = "every caption" if every_caption else "one caption each"
    say(f"{len(rows)} images of {len(split)} images' captions ({captions}), {len(missing)} of them new")
    say(config.short(output / f"{VALID}.json"))
