"""Serve scenes that are drawn turn by turn: ``python run.py -f serve/lattegan.yaml``.

A page at ``/``, dialogues at ``/api/v1.0/dialogues``, ``/healthz``, ``/openapi.json``. Nothing is written.
"""

import logging
from typing import Annotated

from pydantic import Field

from config.limits import Positive, Threads
from engine.context import Context
from gan.lattegan.rollout import RollOuts
from tasks.lattegan.serve.api import build_app
from tasks.lattegan.serve.open_scenes import OpenScenes
from tasks.lattegan.turn_by_turn.draw import on_device
from tasks.lattegan.turn_by_turn.model import DrawingModel
from tasks.lattegan.turn_by_turn.scene import Scene
from tasks.serving.listening import run_app

log = logging.getLogger(__name__)


def serve(
    model: DrawingModel,
    context: Context,
    host: str = "127.0.0.1",
    port: Annotated[int, Field(ge=0, lt=2**16)] = 8083,
    dialogues: Annotated[int, Field(gt=0, le=10_000)] = 32,
    minutes: Annotated[float, Field(gt=0, le=10_000)] = 30,
    queue: Annotated[int, Field(gt=0, le=32)] = 16,
    truncation: Positive | None = 2.0,
    threads: Threads | None = None,
) -> None:
    """Answer requests until it is stopped.

    Args:
        model: draws; ``of_export`` or ``of_run`` of tasks.lattegan.turn_by_turn.model.
        context: given by run.py.
        host: address that is listened at; ``127.0.0.1`` is this machine alone. There is no password.
        port: listened at; 0 for one that is free.
        dialogues: that may be open; the least recently used one makes room if nobody used it for a minute, otherwise
            a new one is refused with status 429.
        minutes: after which a dialogue that nobody used is closed.
        queue: requests that may wait while a turn is drawn; further ones are refused with status 429.
        truncation: noise beyond it is drawn again, in standard deviations; None for no bound.
        threads: of torch; all cores when None.

    Raises:
        UserError: the model cannot be read, or the port is taken.
    """
    model, settings = on_device(model, threads), RollOuts(truncation=truncation)
    scenes = OpenScenes(lambda seed: Scene(model, seed, settings, keep=False), dialogues, 60 * minutes, queue)
    app = build_app(model, scenes, host == "127.0.0.1")
    if context.dry_run:
        kind = "written" if model.written else "spoken"
        log.info("dry run: %s, %d pixels, %s instructions", app.title, model.networks.generator.resolution, kind)
        return
    run_app(app, host, port, context)
