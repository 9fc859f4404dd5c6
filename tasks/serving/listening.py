"""Run an application on a socket until it is stopped."""

import socket

import uvicorn
from fastapi import FastAPI

from common.errors import UserError
from engine.context import Context
from engine.logs import say

CLOSING_SECONDS = 10  # for answers under way when the server is stopped


def run_app(app: FastAPI, host: str, port: int, context: Context, page: str = "") -> None:
    """Answer requests until it is stopped.

    Args:
        app: that answers.
        host: address that is listened at; ``127.0.0.1`` is this machine alone, ``0.0.0.0`` every network it is in.
        port: listened at; 0 for one that is free.
        context: given by run.py.
        page: path of the page for people, which is shown with the address.

    Raises:
        UserError: the port is taken, or there is no such host.
    """
    with _listening(host, port) as listening:
        found = listening.getsockname()
        context.after_stop = lambda: "the same command serves again"
        say(f"http://{found[0]}:{found[1]}{page} (Ctrl-C ends it)")
        settings = uvicorn.Config(
            app, log_config=None, log_level="warning", access_log=False, lifespan="on", ws="none",
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )  # fmt: skip
        uvicorn.Server(settings).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address."""
    try:
        family, kind, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found)
    except OSError as error:
        message = f"host {host}, port {port}: cannot be listened at ({error.strerror or error})"
        raise UserError(f"{message}; give another port, or 0 for a free one") from error
    listening.listen()
    return listening
