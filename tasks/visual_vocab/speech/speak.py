"""Speak a concept, the image moves: ``python run.py -f visual_vocab/speak.yaml audio=red.wav``.

before_after.png   images before and after a step along the concept that was heard
ranking.json       every concept with its score, the nearest first
pictures/          strips from -alpha to alpha
report.html        the sound, the ranking and the strips
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import nn

import config
from common import distributed
from common.errors import UserError
from common.files import write_whole
from config.limits import Count, Seed
from datasets.audio.read import SAMPLE_RATE
from datasets.media_files import encode_image
from datasets.world.speech.voices import voice
from engine.context import Context
from engine.logs import say as tell
from engine.run_folder import RunSettings
from evaluation.report.image_scores import Table
from evaluation.report.parts.media import flac
from evaluation.report.strips import sheet
from gan.directions.files import ALL, load_vocabularies
from models.segmenter.network import AttributeSegmenter
from tasks.results import results_folder, write_results
from tasks.visual_vocab.mover import Mover
from tasks.visual_vocab.pictures import Alpha, sections_of, strip_of, write_pictures
from tasks.visual_vocab.speech.recogniser import Heard, Listening, say
from tasks.visual_vocab.speech.sound import read_word

log = logging.getLogger(__name__)
RANKING = "ranking.json"
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of alpha, in a strip


def speak(
    vocabulary: Path,
    generator: nn.Module,
    listening: Listening,
    context: Context,
    audio: Path | None = None,
    word: Annotated[str, Field(min_length=1, max_length=100)] | None = None,
    voice_seed: Seed = 0,
    alpha: Alpha = 6.0,
    class_: str | int | None = None,
    images: Count = 8,
    seed: Seed = 0,
    segmenter: AttributeSegmenter | None = None,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Move images along the concept whose word is heard in a sound.

    Args:
        vocabulary: ``vocabulary.safetensors`` of ``visual_vocab/distil.yaml``.
        generator: that it was distilled for.
        listening: speech encoder that hears the word.
        context: given by run.py.
        audio: sound file with one spoken word; None lets eSpeak say ``word``.
        word: that eSpeak says where no sound is given.
        voice_seed: of eSpeak's voice.
        alpha: length of the step, in units of a unit vector; below 0 for less of the concept.
        class_: name or number of a class of images; None for any.
        images: number of latents.
        seed: of the latents.
        segmenter: tells the class of images, by their largest object, of a generator without classes.
        run: folder of the results.

    Raises:
        UserError: the sound is silent, too short, too long, no sound or near no word, or a file is missing, damaged or
            another generator's.
    """
    samples, name = _sound(audio, word, voice_seed)
    device = distributed.pick_device()
    mover = Mover(generator.to(device).eval().requires_grad_(False), load_vocabularies(vocabulary)[0], segmenter)
    ranking = listening.load(mover.vocabularies[ALL].words, device).pick(samples, name)
    heard = ranking[0].word
    direction = mover.direction([heard], None if class_ is None else str(class_))
    subjects = mover.subjects(1 if context.dry_run else images, seed, class_)
    alphas = [step * alpha for step in STEPS]
    strips = [
        strip_of(mover.generator, subjects.take(slice(row, row + 1)), f"{row}: {heard}", direction, alphas)
        for row in range(len(subjects.latents))
    ]
    with results_folder(context, run) as folder:
        if context.dry_run:
            log.info("dry run: heard %s in %s, %.2f", heard, name, ranking[0].score)
            return
        pairs = [[strip.images[at] for strip in strips] for at in (STEPS.index(0.0), STEPS.index(1.0))]
        write_whole(folder.path / "before_after.png", encode_image(sheet(pairs), "png"))
        found = {"sound": name, "word": heard, "alpha": alpha, "least": listening.least, "layer": listening.layer,
                 "parts": listening.parts, "ranking": [one._asdict() for one in ranking]}  # fmt: skip
        write_whole(folder.path / RANKING, (json.dumps(found, indent=1) + "\n").encode())
        written = [folder.path / "before_after.png", folder.path / RANKING, *write_pictures(folder.path, strips, [])]
        table = _table(ranking, name, listening)
        sections = [("What was heard", _player(samples) + table.html()), *sections_of(strips, [])]
        metrics = {"score": ranking[0].score, "images": float(images), "alpha": float(alpha)}
        write_results(folder, context, f"spoken: {heard}", metrics, sections)
        tell(
            f"heard {heard} ({ranking[0].score:.2f}), next {ranking[1].word}" if len(ranking) > 1 else f"heard {heard}"
        )
        for one in written:
            tell(config.short(one))


def _sound(audio: Path | None, word: str | None, voice_seed: int) -> tuple[np.ndarray, str]:
    """Return what is spoken, and its name."""
    if audio is not None:
        return read_word(audio), str(audio)
    if word is None:
        raise UserError("found neither audio nor word; give audio=FILE, a sound, or word=WORD, which eSpeak then says")
    who = voice(voice_seed)
    return say([word], [who])[word][0], f"{word!r} by {who.speaker}"


def _player(samples: np.ndarray) -> str:
    return f'<p><audio controls src="{flac(samples, SAMPLE_RATE)}"></audio></p>'


def _table(ranking: Sequence[Heard], name: str, listening: Listening) -> Table:
    rows = [(str(place), one.word, f"{one.score:.3f}") for place, one in enumerate(ranking, 1)]
    protocol = (
        f"cosine of {name} to each word as {len(listening.voices)} voices say it, {listening.layer} of the "
        f"encoder in {listening.parts} parts; a sound below {listening.least:g} is no word"
    )
    return Table("Ranking", protocol, ("rank", "concept", "score"), rows)
