"""A headless Chromium of the system, pages that it opens, and applications that listen in the test's process."""

import shutil
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

PATIENCE = 30.0  # seconds; machines may be busy
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")  # one that beeps
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", *MICROPHONE]


def eventually(page, expression):
    """Wait until an expression holds on a page whose policy forbids what playwright's own waiting needs."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium of the system."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: requirements-browser.txt"
    )
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser):
    """A function that opens a page of a server, in a window that may reach nothing else.

    Errors of its script are in ``script_errors`` of the page.
    """
    opened = []

    def open_page(address, path=""):
        page, errors, elsewhere = browser.new_page(), [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda one: elsewhere.append(one.url) if not one.url.startswith(address) else None)
        page.goto(f"{address}{path}")
        page.script_errors = errors
        opened.append((page, elsewhere))
        return page

    yield open_page
    for page, elsewhere in opened:
        page.close()
        assert [url for url in elsewhere if not url.startswith("data:")] == []


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
