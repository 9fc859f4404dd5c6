"""Explore concepts in a browser: ``python run.py -f visual_vocab/explore.yaml``.

Sliders move an image along the directions of words, and a spoken word moves its slider; units that draw a label can be
switched off in a painted region.
"""

import logging
import threading
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from fastapi import Body, FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware
from torch import nn

from common import distributed
from datasets.media_files import encode_image
from engine.context import Context
from evaluation.report.explorer_page import GRID, explorer_page
from evaluation.report.parts.media import data_uri
from gan.directions.directions import DirectionError
from gan.directions.files import ALL, load_vocabularies
from models.segmenter.network import AttributeSegmenter
from tasks.serving.guard import Guard
from tasks.serving.listening import run_app
from tasks.serving.problems import add_problems
from tasks.visual_vocab.mover import Ablation, Mover, Units, pictures, read_units
from tasks.visual_vocab.serve.annotation import HERE
from tasks.visual_vocab.speech.recogniser import Listening, SpokenWords
from tasks.visual_vocab.speech.sound import read_upload

log = logging.getLogger(__name__)
LARGEST_BODY, LARGEST_SOUND = 2**15, 2**21  # bytes
MOST_SEED = 2**53 - 1  # the largest integer that JavaScript reads exactly
MOST_STEPS, MOST_UNITS, FARTHEST = 24, 64, 20.0
SPEAK = "/api/speak"
EXAMPLE = 'expected a JSON object such as {"seed": 1, "steps": {"red": 6}}'
Word = Annotated[str, Field(min_length=1, max_length=100)]
Step = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]
Cell = Annotated[int, Field(ge=0, lt=GRID * GRID)]


class Off(BaseModel):
    """Units that are switched off in a region."""

    model_config = ConfigDict(extra="forbid")
    layer: Word
    label: Word = Field(description="the units that draw it best go first")
    units: int = Field(ge=1, le=MOST_UNITS)
    cells: list[Cell] = Field(max_length=GRID * GRID, description=f"of a grid of {GRID} x {GRID}, row after row")


class Asked(BaseModel):
    """An image and how it is moved."""

    model_config = ConfigDict(extra="forbid")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="of the latent")
    of_class: Word | None = Field(None, description="name of a class of images")
    steps: dict[Word, Step] = Field(default_factory=dict, max_length=MOST_STEPS, description="by word, unit vectors")
    off: Off | None = None


class Moved(BaseModel):
    """The image before and after, as data URIs of PNG."""

    before: str
    after: str


class Ranked(BaseModel):
    """A concept and how near a sound is to it: a cosine."""

    word: str
    score: float


class Spoken(BaseModel):
    """What was heard: the concept, and all of them, the nearest first."""

    word: str
    ranking: list[Ranked]


def explore(
    vocabulary: Path,
    generator: nn.Module,
    context: Context,
    segmenter: AttributeSegmenter | None = None,
    units: Path | None = None,
    listening: Listening | None = None,
    host: str = "127.0.0.1",
    port: Annotated[int, Field(ge=0, lt=2**16)] = 8082,
) -> None:
    """Serve the page until it is stopped.

    Args:
        vocabulary: ``vocabulary.safetensors`` of ``visual_vocab/distil.yaml``.
        generator: that it was distilled for.
        context: given by run.py.
        segmenter: tells the class of images, by their largest object, of a generator without classes.
        units: ``units.json`` of a dissection of the generator; None switches no units off.
        listening: speech encoder that hears spoken words; None hears none.
        host: address that is listened at; ``127.0.0.1`` is this machine alone. There is no password.
        port: listened at; 0 for one that is free.

    Raises:
        UserError: a file is missing, damaged or another generator's, or the port is taken.
    """
    generator = generator.to(distributed.pick_device()).eval().requires_grad_(False)
    mover = Mover(generator, load_vocabularies(vocabulary)[0], segmenter)
    known = {} if units is None else read_units(units, generator)
    moved(mover, known, Asked())
    device = next(generator.parameters()).device
    spoken = None if listening is None else listening.load(mover.vocabularies[ALL].words[:MOST_STEPS], device)
    if context.dry_run:
        log.info("dry run: %d words, %d classes, units of %d layers", len(mover.words), len(mover.classes), len(known))
        return
    run_app(build_app(mover, known, host == "127.0.0.1", spoken), host, port, context)


def moved(mover: Mover, units: Units, asked: Asked) -> Moved:
    """Generate the images of one request.

    Raises DirectionError for a word, a class, a layer or a label that is not known.
    """
    subjects = mover.subjects(1, asked.seed, asked.of_class)
    steps = {word: alpha for word, alpha in asked.steps.items() if alpha}
    ablation = None if asked.off is None else _ablation(asked.off, units)
    before, after = (pictures(part)[0] for part in mover.images(subjects, steps, ablation))
    return Moved(**{name: _uri(image) for name, image in (("before", before), ("after", after))})


def _ablation(off: Off, units: Units) -> Ablation:
    if off.label not in units.get(off.layer, {}):
        raise DirectionError(f"no units of layer {off.layer!r} are known for {off.label!r}; take one of the page's")
    region = torch.zeros(GRID * GRID, dtype=torch.bool)
    region[off.cells] = True
    return Ablation(off.layer, list(units[off.layer][off.label][: off.units]), region.view(GRID, GRID))


def _uri(image: np.ndarray) -> str:
    return data_uri("image/png", encode_image(image, "png"))


def build_app(mover: Mover, units: Units, only_here: bool = True, spoken: SpokenWords | None = None) -> FastAPI:
    """Return the application: the page at ``/``, ``/api/images``, and ``/api/speak`` where somebody listens.

    With ``only_here`` requests by other names than this machine's own are refused.
    """
    app = FastAPI(title="drawl: concepts", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, largest=LARGEST_BODY, counted=lambda *_: None, larger={SPEAK: LARGEST_SOUND})
    if only_here:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=HERE)
    add_problems(app, EXAMPLE)
    labels = {layer: list(found) for layer, found in units.items()}
    page = explorer_page(mover.words[:MOST_STEPS], mover.classes, labels, MOST_UNITS, listens=spoken is not None)
    drawing = threading.Lock()

    @app.get("/", response_class=HTMLResponse)
    def show() -> HTMLResponse:
        """Return the page."""
        return HTMLResponse(page, headers={"x-frame-options": "DENY"})

    @app.post("/api/images")
    def images(asked: Annotated[Asked, Body()]) -> Moved:
        """Return an image before and after."""
        with drawing:
            return moved(mover, units, asked)

    if spoken is not None:

        @app.post(SPEAK)
        def speak(sound: Annotated[bytes, Body(media_type="audio/wav")]) -> Spoken:
            """Return the concept whose word is heard in a WAV file."""
            with drawing:
                ranking = spoken.pick(read_upload(sound))
            return Spoken(word=ranking[0].word, ranking=[Ranked(**one._asdict()) for one in ranking])

    return app
