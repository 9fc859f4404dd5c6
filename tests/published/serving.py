"""A local web server for tests of downloads: breaks off half-way as often as it is asked, and notes what was asked."""

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class BreakingHandler(BaseHTTPRequestHandler):
    """Sends content from a start on; the first ``server.breaks`` answers end after half of it. Subclasses answer."""

    def do_GET(self):
        """Answer a request."""
        self.answer()

    def send_from(self, content: bytes, start: int, **headers: str) -> None:
        """Answer with the content from ``start`` on, as part of a file when that is not 0."""
        rest = content[start:]
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)
        self.close_connection = True

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serving(handler: type[BreakingHandler], **attributes: object) -> Iterator[ThreadingHTTPServer]:
    """Run a server with the given attributes beside ``asked`` (a list), ``breaks`` (0) and ``url``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.asked, running.breaks = [], 0
        running.url = f"http://127.0.0.1:{running.server_port}"
        for name, value in attributes.items():
            setattr(running, name, value)
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def archive(*names):
    """Return a packed tar file of files that hold their own names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return buffer.getvalue()
