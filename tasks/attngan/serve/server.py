"""Serve images from captions over HTTP: ``python run.py -f serve/attngan.yaml``.

Addresses: ``/``, ``/api/v1.0/bird`` and ``/api/v1.0/birds`` as taoxugit/AttnGAN published them, ``/api/v1.0/generate``,
a page at ``/page``, ``/healthz``, ``/metrics``, ``/openapi.json``.
"""

import logging
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from common import distributed
from config.limits import BatchSize, Count
from engine.context import Context
from tasks.attngan.sampling.text_to_image import TextToImage
from tasks.attngan.serve.api import Server, build_app
from tasks.attngan.serve.image_files import ImageFiles
from tasks.attngan.trained import TextImageSource
from tasks.serving.listening import run_app

log = logging.getLogger(__name__)


def serve(
    model: TextImageSource,
    context: Context,
    host: str = "127.0.0.1",
    port: Annotated[int, Field(ge=0, lt=2**16)] = 8080,
    folder: Path = Path("runs/serve"),
    folder_mb: Annotated[int, Field(ge=64, le=10**6)] = 512,
    batch_size: BatchSize = 16,
    wait_ms: Annotated[float, Field(ge=0, le=1000)] = 2,
    queue: Count = 256,
    address: str | None = None,
) -> None:
    """Answer requests until it is stopped.

    Args:
        model: text encoder and generator.
        context: given by run.py.
        host: address that is listened at; ``127.0.0.1`` is this machine alone, ``0.0.0.0`` every network it is in.
        port: listened at; 0 for one that is free.
        folder: for the images of answers, under random names; those of earlier calls stay.
        folder_mb: size of that folder in MB; the oldest images make room for new ones.
        batch_size: images generated at a time, of several requests where they come together.
        wait_ms: how long a batch that is not full waits for more images, ms.
        queue: images that may wait; requests for more are refused with status 429.
        address: that clients call, such as ``http://gpu7:8080``, in the addresses of images; the one that each request
            names when None.

    Raises:
        UserError: the model cannot be read, the port is taken, or the folder cannot be made.
    """
    text_to_image = TextToImage.of(model, distributed.pick_device(), batch_size)
    words = text_to_image.words.vocabulary.words[1:]
    with torch.inference_mode():
        text_to_image.generate([words[0]] * min(batch_size, 2))  # the first call of a device takes long
    title = f"drawl: images from captions by {_name(model)}"
    if context.dry_run:
        log.info("dry run: %s, images of %s pixels, %d words", title, text_to_image.resolutions, len(words))
        return
    files = ImageFiles(folder, folder_mb * 10**6)
    app = build_app(Server(text_to_image, files, queue, wait_ms / 1000, address), title)
    run_app(app, host, port, context, "/page")


def _name(model: TextImageSource) -> str:
    """Name a model for people: its run, its export, or its published file."""
    source = model.run or model.published.generator
    return source.parent.parent.name if source.suffix == ".pt" else source.stem
