"""The addresses of the server: open a dialogue, say a turn, undo, choose, close; and the page."""

from typing import Annotated, Any

import numpy as np
from fastapi import Body, FastAPI, Query, Request, Response, status
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from common.errors import UserError
from common.text_files import without_surrogates
from datasets.dialogue.records import to_bytes
from datasets.media_files import encode_image
from evaluation.report.dialogue_page import dialogue_page
from evaluation.report.dialogues import gate_image
from evaluation.report.parts.media import data_uri
from tasks.lattegan.serve import messages
from tasks.lattegan.serve.messages import Begun, Choice, Problem, Said, SceneMessage, TurnMessage
from tasks.lattegan.serve.open_scenes import BusyError, ClosedError, OpenScenes
from tasks.lattegan.turn_by_turn.model import DrawingModel
from tasks.lattegan.turn_by_turn.scene import Scene, Turn
from tasks.serving.guard import Guard
from tasks.serving.problems import add_problems

POST = "/api/v1.0/dialogues"
HERE = ["127.0.0.1", "localhost", "testserver"]
WRITTEN = "this model reads written instructions: spoken ones need a model whose text encoder is a speech encoder"
SPOKEN = "this model hears spoken instructions and reads none: send a recording to the address that ends in /speech"
ERRORS: dict[int | str, dict[str, Any]] = {
    number: {"model": Problem, "description": text}
    for number, text in {
        400: "there is no instruction, or no JSON",
        404: "the dialogue was closed, or never was",
        413: "the body is too large",
        422: "a value cannot be taken, no word is known, or the sound is no instruction",
        429: "too many dialogues are open, or too many requests wait",
    }.items()
}


def build_app(model: DrawingModel, scenes: OpenScenes, only_here: bool = True) -> FastAPI:
    """Return the application with all its addresses.

    With ``only_here`` requests by other names than this machine's own are refused.
    """
    app = FastAPI(title=f"drawl: scenes by {model.name}", version="1.0", docs_url=None, redoc_url=None)
    sizes = {"/speech": messages.LARGEST_SOUND}
    app.add_middleware(Guard, largest=messages.LARGEST_BODY, counted=lambda *_: None, larger=sizes)
    if only_here:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=HERE)
    add_problems(app, messages.EXAMPLE, statuses={ClosedError: 404, BusyError: 429})
    _add_dialogues(app, scenes)
    _add_turns(app, model, scenes)
    page = dialogue_page(app.title, _words(model), POST, messages.MOST_CANDIDATES, WRITTEN if model.written else None)

    @app.get("/", response_class=HTMLResponse)
    async def show() -> HTMLResponse:
        """Return the page on which scenes are drawn."""
        return HTMLResponse(page, headers={"x-frame-options": "DENY"})

    @app.get("/healthz")
    async def health() -> dict[str, Any]:
        """Return facts about the model and the dialogues."""
        size = model.networks.generator.resolution
        return {"status": "ok", "model": model.name, "resolution": size, "open_dialogues": len(scenes)}

    return app


def _add_dialogues(app: FastAPI, scenes: OpenScenes) -> None:
    """Add the addresses of whole dialogues."""

    @app.post(POST, status_code=status.HTTP_201_CREATED, responses=ERRORS)
    def begin(wanted: Annotated[Begun, Body()]) -> SceneMessage:
        """Open a dialogue with an empty scene; one that nobody used for long may be closed for it."""
        return scene_message(*scenes.open(wanted.seed))

    @app.get(f"{POST}/{{name}}", responses=ERRORS)
    def look(name: str) -> SceneMessage:
        """Return a dialogue as it is."""
        with scenes.use(name) as scene:
            return scene_message(name, scene)

    @app.delete(f"{POST}/{{name}}", status_code=status.HTTP_204_NO_CONTENT, response_class=Response, responses=ERRORS)
    def close(name: str) -> None:
        """Close a dialogue."""
        scenes.close(name)


def _add_turns(app: FastAPI, model: DrawingModel, scenes: OpenScenes) -> None:
    """Add the addresses of turns."""

    def drawn(name: str, said: str | bytes, candidates: int, seed: int | None) -> TurnMessage:
        with scenes.use(name) as scene:
            before, scene.seed = scene.seed, scene.seed if seed is None else seed
            try:
                return turn_message(scene, scene.say(said, candidates))
            except UserError:
                scene.seed = before
                raise

    @app.post(f"{POST}/{{name}}/turns", status_code=status.HTTP_201_CREATED, responses=ERRORS)
    def say(name: str, wanted: Annotated[Said, Body()]) -> TurnMessage:
        """Draw one more turn."""
        if not model.written:
            raise UserError(SPOKEN)
        return drawn(name, without_surrogates(wanted.instruction), wanted.candidates, wanted.seed)

    @app.post(f"{POST}/{{name}}/speech", status_code=status.HTTP_201_CREATED, responses=ERRORS)
    async def hear(
        request: Request,
        name: str,
        candidates: Annotated[int, Query(ge=1, le=messages.MOST_CANDIDATES)] = 1,
        seed: Annotated[int | None, Query(ge=0, le=messages.MOST_SEED)] = None,
    ) -> TurnMessage:
        """Draw one more turn, whose instruction is the body: a sound file (wav, flac, ogg, mp3)."""
        if model.written:
            raise UserError(WRITTEN)
        return await run_in_threadpool(drawn, name, await request.body(), candidates, seed)

    @app.delete(f"{POST}/{{name}}/turns/last", responses=ERRORS)
    def undo(name: str) -> SceneMessage:
        """Forget the last turn."""
        with scenes.use(name) as scene:
            scene.undo()
            return scene_message(name, scene)

    @app.put(f"{POST}/{{name}}/turns/last", responses=ERRORS)
    def choose(name: str, wanted: Annotated[Choice, Body()]) -> TurnMessage:
        """Go on from another candidate of the last turn."""
        with scenes.use(name) as scene:
            return turn_message(scene, scene.choose(wanted.chosen))


def scene_message(name: str, scene: Scene) -> SceneMessage:
    """Return a scene as JSON has it."""
    turns = [turn_message(scene, turn, number) for number, turn in enumerate(scene.turns, start=1)]
    return SceneMessage(id=name, seed=scene.seed, background=_uri(scene.background), turns=turns)


def turn_message(scene: Scene, turn: Turn, number: int | None = None) -> TurnMessage:
    """Return a turn as JSON has it, the last one where its number is not given."""
    gate = turn.gate
    return TurnMessage(
        number=len(scene.turns) if number is None else number,
        instruction=turn.said,
        unknown_words=turn.unknown,
        seed=turn.seed,
        images=[_uri(image) for image in to_bytes(turn.images)],
        scores=turn.scores,
        chosen=turn.chosen,
        gate=None if gate is None else _uri(gate_image(gate, turn.images.shape[2])),
    )


def _words(model: DrawingModel) -> list[str]:
    """Return the words that the page lists, none where they are pieces of words or sounds."""
    return list(getattr(getattr(model.reads, "texts", None), "words", ()))


def _uri(image: np.ndarray) -> str:
    return data_uri("image/png", encode_image(image, "png"))
