"""What stands before the server's addresses: bodies are read up to a size, answers are counted."""

import asyncio
import time
from collections.abc import Callable, Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAINED = 2**26  # bytes of a body that are read and dropped, so that its sender reads the answer
BODY_SECONDS = 30.0


class Guard:
    """Refuse bodies that are too large or come too slowly, and count every answer.

    Args:
        app: that answers.
        largest: bytes of a body.
        counted: called with the address, the status and the seconds of each request.
        larger: bytes of a body, by what the path ends in, where another size is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        largest: int,
        counted: Callable[[str, int, float], None],
        larger: Mapping[str, int] = {},
    ) -> None:
        self._app, self._largest, self._counted, self._larger = app, largest, counted, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            sizes = (size for end, size in self._larger.items() if scope["path"].endswith(end))
            refusal, replayed = await self._read(receive, next(sizes, self._largest))
            await (refusal or self._app)(scope, replayed, counting)
        finally:
            route = scope.get("route")
            self._counted(getattr(route, "path", "other"), status, time.perf_counter() - start)

    async def _read(self, receive: Receive, largest: int) -> tuple[JSONResponse | None, Receive]:
        """Read a body; return the answer to one that cannot be taken, and what hands it on."""
        parts: list[bytes] = []
        size, last = 0, {"type": "http.request", "body": b"", "more_body": True}
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while last.get("more_body") and size <= DRAINED:
                    last = await receive()
                    part = last.get("body", b"")
                    size += len(part)
                    if size <= largest:
                        parts.append(part)
        except TimeoutError:
            return _refusal(408, f"the body did not come within {BODY_SECONDS:g} s"), receive
        if size > largest:
            return _refusal(413, f"the body has more than the {largest} bytes that are read"), receive
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]
        if last["type"] == "http.disconnect":
            whole = [last]

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        return None, replayed


def _refusal(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers={"connection": "close"})
