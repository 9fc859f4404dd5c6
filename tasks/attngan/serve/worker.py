"""One thread that generates what all requests ask for, several images at a time."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from common.errors import UserError
from tasks.attngan.sampling.text_to_image import Draw, Generated, TextToImage

log = logging.getLogger(__name__)


class BusyError(UserError):
    """More images are waited for than the queue holds."""


class Worker:
    """Generate images in the order of the requests; images of different requests share batches.

    Args:
        model: generates; no other thread may call it.
        longest_queue: images that may wait.
        wait_seconds: how long a batch that is not full waits for more images.
        counted: called with the number of images and the seconds of each batch.
    """

    def __init__(
        self,
        model: TextToImage,
        longest_queue: int,
        wait_seconds: float,
        counted: Callable[[int, float], None] = lambda images, seconds: None,  # noqa: ARG005
    ) -> None:
        self._model, self._longest, self._wait, self._counted = model, longest_queue, wait_seconds, counted
        self._waiting: deque[tuple[Draw, Future[Generated]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="generate", daemon=True)

    def start(self) -> None:
        """Begin to generate."""
        self._thread.start()

    def close(self) -> None:
        """End after the batch at work; images that still wait are cancelled."""
        with self._changed:
            self._closed = True
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Return whether images are being generated."""
        return self._thread.is_alive()

    @property
    def queued(self) -> int:
        """Return how many images wait."""
        return len(self._waiting)

    def submit(self, draws: Sequence[Draw]) -> list[Future[Generated]]:
        """Queue all images of a request, or none: a BusyError says that they are too many now."""
        futures: list[Future[Generated]] = [Future() for _ in draws]
        with self._changed:
            if self._closed or len(self._waiting) + len(draws) > self._longest:
                raise BusyError(
                    f"{len(self._waiting)} images are waited for and the queue holds {self._longest}: try again soon"
                )
            self._waiting.extend(zip(draws, futures, strict=True))
            self._changed.notify()
        return futures

    def _run(self) -> None:
        while batch := self._next():
            start = time.perf_counter()
            try:
                for (_, future), made in zip(batch, self._model.draw([draw for draw, _ in batch]), strict=True):
                    future.set_result(made)
            except Exception as error:
                log.exception("%d images could not be generated", len(batch))
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            self._counted(len(batch), time.perf_counter() - start)

    def _next(self) -> list[tuple[Draw, Future[Generated]]]:
        """Wait for images and return a batch; nothing once the worker is closed."""
        size = self._model.batch_size
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._wait > 0:
                    self._changed.wait_for(lambda: len(self._waiting) >= size or self._closed, self._wait)
                if self._closed:
                    return []
                taken = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            wanted = [(draw, future) for draw, future in taken if future.set_running_or_notify_cancel()]
            if wanted:
                return wanted
