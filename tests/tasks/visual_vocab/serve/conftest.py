"""Applications that listen at a free port of this machine, in a thread of the test's process."""

import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn


@pytest.fixture
def listening():
    """A context manager that serves an application and gives its address."""

    @contextmanager
    def listening(app):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            free.listen()
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [free]}, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{free.getsockname()[1]}"
            server.should_exit = True
            thread.join(20)

    return listening
