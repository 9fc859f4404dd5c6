"""The dialogues that are open: so many at most, none that nobody used for long, one turn drawn at a time."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import UserError
from tasks.lattegan.turn_by_turn.scene import Scene

SAFE_SECONDS = 60.0  # a dialogue that was used within them is not closed for another one


class ClosedError(UserError):
    """A dialogue that there is not, or not any more."""


class BusyError(UserError):
    """More dialogues or turns than are taken at once."""


class OpenScenes:
    """Scenes by random names; the least recently used one makes room.

    Args:
        begin: returns an empty scene of a seed.
        most: open scenes.
        seconds: after which a scene that nobody used is closed.
        queue: requests that may wait for their turn.
        clock: seconds.
    """

    def __init__(
        self,
        begin: Callable[[int], Scene],
        most: int,
        seconds: float,
        queue: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begin, self._most, self._seconds, self._clock = begin, most, seconds, clock
        self._scenes: OrderedDict[str, tuple[Scene, float]] = OrderedDict()  # the least recently used one first
        self._lock, self._queue, self._waiting = threading.Lock(), queue, threading.BoundedSemaphore(queue)

    def __len__(self) -> int:
        return len(self._scenes)

    def open(self, seed: int) -> tuple[str, Scene]:
        """Begin a scene and return its name with it.

        Raises BusyError where all are open that may be, and all were used within the last minute.
        """
        with self._turn():
            self._close_old()
            if len(self._scenes) >= self._most:
                oldest, (_, used) = next(iter(self._scenes.items()))
                if self._clock() - used < SAFE_SECONDS:
                    raise BusyError(f"{self._most} dialogues are open and all are in use: try again in a minute")
                del self._scenes[oldest]
            name, scene = secrets.token_hex(16), self._begin(seed)
            self._scenes[name] = scene, self._clock()
            return name, scene

    @contextmanager
    def use(self, name: str) -> Iterator[Scene]:
        """Hold a scene while nobody else draws.

        Raises ClosedError where there is none of that name, BusyError where too many wait.
        """
        with self._turn():
            self._close_old()
            if name not in self._scenes:
                raise ClosedError("there is no such dialogue, or it was closed: begin another one")
            scene, _ = self._scenes[name]
            try:
                yield scene
            finally:
                self._scenes[name] = scene, self._clock()
                self._scenes.move_to_end(name)

    def close(self, name: str) -> None:
        """Close a scene; raise ClosedError where there is none of that name."""
        with self._turn():
            if self._scenes.pop(name, None) is None:
                raise ClosedError("there is no such dialogue, or it was closed")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise BusyError(f"{self._queue} requests wait for their turn: try again soon")
        try:
            with self._lock:
                yield
        finally:
            self._waiting.release()

    def _close_old(self) -> None:
        while self._scenes:
            name, (_, used) = next(iter(self._scenes.items()))
            if self._clock() - used < self._seconds:
                return
            del self._scenes[name]
