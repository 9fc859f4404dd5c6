"""Have people annotate pairs of images: ``python run.py -f visual_vocab/annotate_page.yaml``.

A page shows an image before and after a step along a direction and records, as free text, what changes. Several people
may annotate at once, each under a name. Texts lie in ``annotations.csv`` in the published columns, beside ``ds.pth``
and ``metadata.csv``: the folder is a data set that ``visual_vocab/distil.yaml`` and the public code read.
"""

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware
from torch import nn

from common import distributed
from config.limits import Count
from datasets.media_files import encode_image
from engine.context import Context
from engine.run_folder import RunSettings
from evaluation.report.annotation_page import annotation_page
from evaluation.report.parts.media import data_uri
from gan.directions.files import load_directions
from gan.images import to_uint8
from published.visual_vocab.data_sets import ANNOTATIONS, save_data_set
from tasks.results import results_folder
from tasks.serving.guard import Guard
from tasks.serving.listening import run_app
from tasks.serving.problems import add_problems
from tasks.visual_vocab.annotation.annotate import Alpha
from tasks.visual_vocab.annotation.pairs import ShownPairs
from tasks.visual_vocab.serve.records import Records, RecordsError

log = logging.getLogger(__name__)
LONGEST, LONGEST_NAME = 500, 40  # characters
LARGEST_BODY = 2**14  # bytes
MOST_ROW = 2**31
EXAMPLE = 'expected a JSON object such as {"row": 3, "annotator": "Ada", "text": "more red"}'
HERE = ["127.0.0.1", "localhost", "testserver"]  # the names of this machine; the last is that of tests
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class Shown(BaseModel):
    """A pair to annotate; without any left, only the numbers."""

    row: int | None
    before: str = Field("", description="the image before, a data URI")
    after: str = Field("", description="the image after, a data URI")
    done: int = Field(description="pairs that this annotator has written about")
    pairs: int


class Skipped(BaseModel):
    """A pair that is to be shown later."""

    model_config = ConfigDict(extra="forbid", strict=True)
    row: int = Field(ge=0, le=MOST_ROW)
    annotator: Name


class Written(Skipped):
    """A text about a pair."""

    text: str = Field(min_length=1, max_length=LONGEST)


class Kept(BaseModel):
    """How many texts there are now."""

    annotations: int


def annotate_page(
    directions: Path,
    generator: nn.Module,
    context: Context,
    alpha: Alpha = 6.0,
    latents: Count = 1,
    host: str = "127.0.0.1",
    port: Annotated[int, Field(ge=0, lt=2**16)] = 8081,
    run: RunSettings = RunSettings(),  # noqa: B008  never changed
) -> None:
    """Show pairs of images and record what people write until it is stopped.

    Args:
        directions: ``directions.safetensors`` of ``visual_vocab/directions.yaml``.
        generator: that they were found for.
        context: given by run.py.
        alpha: length of the step that is shown, in units of a unit vector.
        latents: at which each direction is shown that holds for all latents.
        host: address that is listened at; ``127.0.0.1`` is this machine alone. There is no password.
        port: listened at; 0 for one that is free.
        run: folder of the annotations, which is a data set in the published layout.

    Raises:
        UserError: the directions cannot be read or are another generator's, the folder holds other annotations, or the
            port is taken.
    """
    generator = generator.to(distributed.pick_device()).eval().requires_grad_(False)
    pairs = ShownPairs(load_directions(directions)[0], latents, generator)
    pairs.images([0], alpha)
    kept = replace(context, values={key: value for key, value in context.values.items() if key not in ("host", "port")})
    with results_folder(kept, run) as folder:  # another port is no other set of annotations
        if context.dry_run:
            log.info("dry run: %d pairs of images", len(pairs))
            return
        path = folder.path / ANNOTATIONS
        if not path.is_file():
            rows = range(len(pairs))
            metadata = [pairs.metadata(row, alpha) for row in rows]
            save_data_set(folder.path, pairs.vectors(rows), [[] for _ in rows], metadata)
        run_app(build_app(pairs, Records(path, len(pairs)), alpha, host == "127.0.0.1"), host, port, context)


def build_app(pairs: ShownPairs, records: Records, alpha: float, only_here: bool = True) -> FastAPI:
    """Return the application: the page at ``/``, ``/api/pair``, ``/api/annotations`` and ``/api/skips``.

    With ``only_here`` requests by other names than this machine's own are refused, so that no page of another server
    reaches it through a browser.
    """
    app = FastAPI(title="drawl: what changes?", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, largest=LARGEST_BODY, counted=lambda *_: None)
    if only_here:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=HERE)
    add_problems(app, EXAMPLE)
    page, drawing = annotation_page(len(pairs), LONGEST, LONGEST_NAME), threading.Lock()

    def checked(row: int) -> int:
        if row >= len(pairs):
            raise RecordsError(f"there is no pair {row}; expected 0 to {len(pairs) - 1}")
        return row

    @app.get("/", response_class=HTMLResponse)
    def show() -> HTMLResponse:
        """Return the page."""
        return HTMLResponse(page, headers={"x-frame-options": "DENY"})

    @app.get("/api/pair")
    def pair(annotator: Annotated[Name, Query()]) -> Shown:
        """Return the next pair of an annotator."""
        row, done = records.next(annotator), records.of(annotator)
        if row is None:
            return Shown(row=None, done=done, pairs=len(pairs))
        with drawing:
            images = pairs.images([row], alpha)
        before, after = (data_uri("image/png", encode_image(to_uint8(one[0]).numpy(), "png")) for one in images)
        return Shown(row=row, before=before, after=after, done=done, pairs=len(pairs))

    @app.post("/api/annotations", status_code=201)
    def write(written: Annotated[Written, Body()]) -> Kept:
        """Keep a text."""
        records.add(checked(written.row), written.text, written.annotator)
        return Kept(annotations=len(records))

    @app.post("/api/skips", status_code=201)
    def skip(skipped: Annotated[Skipped, Body()]) -> Kept:
        """Show a pair later."""
        records.skip(checked(skipped.row), skipped.annotator)
        return Kept(annotations=len(records))

    return app
