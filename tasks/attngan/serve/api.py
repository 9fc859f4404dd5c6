"""The addresses of the server: those of taoxugit/AttnGAN ``eval/main.py``, and newer ones.

The published answers are kept in shape and status. Mended: ``medium`` and ``large`` are the images of the second and
third stage (the public code returns attention maps there), captions are split into words as in training, and words that
the model does not know are named.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import Body, FastAPI, Request, Response, status
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from common.disk_space import NoRoomError
from common.text_files import without_surrogates
from datasets.media_files import encode_image
from evaluation.attention_sheet import best_words
from evaluation.report.text_to_image import text_to_image_page
from tasks.attngan.sampling.text_to_image import BEST, Draw, Generated, TextToImage
from tasks.attngan.serve import messages
from tasks.attngan.serve.counters import TEXT, Counters
from tasks.attngan.serve.image_files import ImageFiles
from tasks.attngan.serve.messages import Answer, BirdAnswer, BirdsAnswer, Captioned, Problem, Sizes, Wanted
from tasks.attngan.serve.worker import BusyError, Worker
from tasks.serving.guard import Guard
from tasks.serving.problems import add_problems

log = logging.getLogger(__name__)
VERSION = "Version 1"  # what the public code answers at /
BIRDS = 6
POST = "/api/v1.0"
ERRORS: dict[int | str, dict[str, Any]] = {
    number: {"model": Problem, "description": text}
    for number, text in {
        400: "there is no caption, or no JSON",
        413: "the body is too large",
        422: "a value cannot be taken, or no word of the caption is known",
        429: "too many images are waited for",
        507: "no room is left for images",
    }.items()
}


class Server:
    """The parts of one server, and what its addresses do.

    Args:
        model: generates.
        files: keep the images.
        longest_queue: images that may wait.
        wait_seconds: how long a batch that is not full waits for more images.
        address: that clients call, such as ``http://gpu7:8080``; None for the one that each request names.
    """

    def __init__(
        self, model: TextToImage, files: ImageFiles, longest_queue: int, wait_seconds: float, address: str | None = None
    ) -> None:
        self.model, self.files, self._address = model, files, address
        self.counters = Counters(lambda: self.worker.queued, lambda: files.bytes)
        self.worker = Worker(model, longest_queue, wait_seconds, self.counters.batch)

    async def generate(self, caption: str, copies: int, seed: int | None) -> tuple[list[Generated], dict[str, Any]]:
        """Generate images of a caption; return them and the fields of About, but for the time."""
        caption = without_surrogates(caption)
        self.model.words.tokens([caption])  # a caption without known words must not fail its batch
        seed = secrets.randbelow(2**31) if seed is None else seed
        futures = self.worker.submit([Draw(caption, seed, 0, copy) for copy in range(copies)])
        made = await asyncio.gather(*map(asyncio.wrap_future, futures))
        about = {
            "caption": caption,
            "seed": seed,
            "words": made[0].words,
            "unknown_words": made[0].unknown,
            "words_left_out": made[0].left_out,
        }
        return made, about

    def url(self, request: Request, image: np.ndarray) -> str:
        """Keep an image (H, W, 3) or (H, W) uint8 and return where the server answers with it."""
        base = self._address or str(request.base_url)
        return f"{base.rstrip('/')}/images/{self.files.add(encode_image(image, 'png'))}"

    def sizes(self, request: Request, made: Generated) -> dict[str, str]:
        """Return the addresses of an image's stages by their published names."""
        urls = [self.url(request, image) for image in made.images]
        return {name: urls[min(stage, len(urls) - 1)] for stage, name in enumerate(Sizes.model_fields)}

    def sheets(self, request: Request, made: Generated) -> dict[str, str | None]:
        """Return the addresses of the later stages' attention by their published names."""
        urls = [self.url(request, made.sheet(stage)) for stage in range(len(made.attention))]
        return {name: urls[min(stage, len(urls) - 1)] if urls else None for stage, name in enumerate(("map1", "map2"))}

    def image(self, request: Request, made: Generated) -> dict[str, Any]:
        """Return an image with all its stages and maps, as :class:`tasks.attngan.serve.messages.Image` has it."""
        stages = [{"resolution": len(image), "url": self.url(request, image)} for image in made.images]
        attention = []
        for number, maps in enumerate(made.attention):
            largest = max(float(maps.max()), np.finfo(np.float32).tiny)
            grey = np.rint(maps.reshape(-1, maps.shape[-1]) / largest * 255).astype(np.uint8)
            attention.append(
                {
                    "stage": min(number + 1, len(stages) - 1),
                    "url": self.url(request, grey),
                    "largest": largest,
                    "best": best_words(maps, BEST),
                }
            )
        return {"stages": stages, "attention": attention}


def build_app(server: Server, title: str) -> FastAPI:
    """Return the application with all its addresses; ``title`` says which model it serves."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        server.worker.start()
        yield
        await run_in_threadpool(server.worker.close)

    app = FastAPI(title=title, version="1.0", lifespan=lifespan, docs_url=None, redoc_url=None)  # they load from afar
    app.add_middleware(Guard, largest=messages.LARGEST_BODY, counted=server.counters.request)
    add_problems(app, messages.EXAMPLE, messages.problem, {BusyError: 429, NoRoomError: 507})
    _add_pages(app, server, title)
    _add_images(app, server)
    return app


def _add_images(app: FastAPI, server: Server) -> None:
    """Add the addresses that generate images, and the images."""

    @app.post(f"{POST}/bird", status_code=status.HTTP_201_CREATED, responses=ERRORS)
    async def bird(request: Request, wanted: Annotated[Captioned, Body()]) -> BirdAnswer:
        """Generate one image, as published: three stages, and sheets of the attention."""
        start = time.perf_counter()
        (made,), about = await server.generate(wanted.caption, 1, None)
        urls = await run_in_threadpool(lambda: server.sizes(request, made) | server.sheets(request, made))
        return BirdAnswer(bird={**urls, **about, "elapsed": time.perf_counter() - start})

    @app.post(f"{POST}/birds", status_code=status.HTTP_201_CREATED, responses=ERRORS)
    async def birds(request: Request, wanted: Annotated[Captioned, Body()]) -> BirdsAnswer:
        """Generate six images, as published: three stages of each."""
        start = time.perf_counter()
        made, about = await server.generate(wanted.caption, BIRDS, None)
        urls = await run_in_threadpool(
            lambda: {f"bird{number}": server.sizes(request, one) for number, one in enumerate(made, start=1)}
        )
        return BirdsAnswer(bird={**urls, **about, "elapsed": time.perf_counter() - start})

    @app.post(f"{POST}/generate", status_code=status.HTTP_201_CREATED, responses=ERRORS)
    async def generate(request: Request, wanted: Annotated[Wanted, Body()]) -> Answer:
        """Generate images of every stage, with the attention of each word; a seed gives the same images again."""
        start = time.perf_counter()
        made, about = await server.generate(wanted.caption, wanted.copies, wanted.seed)
        images = await run_in_threadpool(lambda: [server.image(request, one) for one in made])
        return Answer(images=images, **about, elapsed=time.perf_counter() - start)

    @app.get("/images/{name}", response_class=Response, responses={404: {"model": Problem}})
    async def image(name: str) -> Response:
        """Return an image of an answer, as PNG; old ones make room for new ones."""
        content = await run_in_threadpool(server.files.read, name)
        if content is None:
            raise HTTPException(404, "there is no such image, or it has made room for newer ones")
        return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


def _add_pages(app: FastAPI, server: Server, title: str) -> None:
    """Add what is read: the version, the page, health and counts."""
    known = server.model.words.vocabulary.words[1:]
    page = text_to_image_page(title, known, messages.LONGEST, messages.MOST_COPIES, f"{POST}/generate")

    @app.get("/", response_class=PlainTextResponse)
    async def version() -> str:
        """Return the version, as published; /page is for people."""
        return VERSION

    @app.get("/page", response_class=HTMLResponse)
    async def show() -> HTMLResponse:
        """Return the page on which captions are typed."""
        return HTMLResponse(page, headers={"x-frame-options": "DENY"})

    @app.get("/healthz")
    async def health() -> JSONResponse:
        """Say whether images can be generated: status 200 or 503."""
        alive = server.worker.alive
        facts = {
            "status": "ok" if alive else "the thread that generates has ended; start the server again",
            "model": title,
            "resolutions": server.model.resolutions,
            "known_words": len(known),
            "queued_images": server.worker.queued,
        }
        return JSONResponse(facts, 200 if alive else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return counts and times in Prometheus' text format."""
        return Response(server.counters.text(), media_type=TEXT)
