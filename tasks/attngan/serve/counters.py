"""Counts and times of a server, in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

TEXT = CONTENT_TYPE_LATEST
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Counters:
    """Measure one server.

    Args:
        queued: returns the number of images that wait.
        kept_bytes: returns the bytes of the files kept.
    """

    def __init__(self, queued: Callable[[], int], kept_bytes: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # its CPU seconds and memory, on Linux
        self._requests = Counter(
            "drawl_requests", "Requests by address and status.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "drawl_request_seconds", "Seconds of a request by address.", ["path"], buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._batch = Histogram("drawl_batch_images", "Images of a batch.", buckets=BATCHES, registry=self._registry)
        self._batch_seconds = Histogram(
            "drawl_batch_seconds", "Seconds of a batch.", buckets=SECONDS, registry=self._registry
        )
        for name, meaning, read in (
            ("drawl_queued_images", "Images that wait to be generated.", queued),
            ("drawl_file_bytes", "Bytes of the files kept.", kept_bytes),
        ):
            Gauge(name, meaning, registry=self._registry).set_function(read)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; ``path`` is an address of the server's own, as they would be too many otherwise."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, images: int, seconds: float) -> None:
        """Count a batch."""
        self._batch.observe(images)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return everything measured so far."""
        return generate_latest(self._registry)
