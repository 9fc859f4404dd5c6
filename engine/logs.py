"""Messages of a run while it goes: console lines or a progress bar, TensorBoard, and the rows of metrics.jsonl."""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from common.disk_space import full_disk, needs_room
from common.distributed import is_main
from common.text_files import without_surrogates
from engine import text_log
from engine.run_folder import RunFolder

log = logging.getLogger(__name__)
console = Console(stderr=True)
WAY = re.compile(r"(?P<name>.+?)[_ ](?P<one>[a-z]+)(_to_|→)(?P<other>[a-z]+)")
LINE_SECONDS = 30.0
FEW = 2  # values that a line shows although they do not fit


def set_up_logging() -> None:
    """Send log records to the terminal: rank 0 from INFO, the others from WARNING."""
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    threading.excepthook = _thread_error
    logging.basicConfig(
        level=logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING, handlers=[handler], force=True
    )
    text_log.keep_early()


def say(text: str) -> None:
    """Print ``text`` to the console as it is, and to the run's text log."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    text_log.note(text)


def _thread_error(error: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, but not a full disk: TensorBoard's thread hands that on to its next caller."""
    if error.exc_value is None or full_disk(error.exc_value) is None:
        threading.__excepthook__(error)


def progress(
    items: Iterable[Any], total: int, what: str, done: int = 0, line_seconds: float | None = LINE_SECONDS
) -> Iterator[Any]:
    """Yield items with a progress bar on a terminal, with a line now and then elsewhere, silently on other ranks.

    Args:
        items: what is looped over.
        total: how many there are, those ``done`` included.
        what: stands before the bar.
        done: how many were yielded before, in an earlier part of a resumed epoch.
        line_seconds: between two lines where there is no terminal; None for a loop that logs by itself.
    """
    if not (console.is_terminal and is_main()):
        shown = line_seconds is not None and is_main()
        yield from _with_lines(items, total, what, done, line_seconds) if shown else items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done)
        for item in items:
            yield item
            bar.advance(task)


def _with_lines(items: Iterable[Any], total: int, what: str, done: int, line_seconds: float) -> Iterator[Any]:
    last = time.monotonic()
    for count, item in enumerate(items, done):
        if time.monotonic() - last >= line_seconds:
            log.info("%s: %d of %d", what, count, total)
            last = time.monotonic()
        yield item


def compact(values: dict[str, Any]) -> list[str]:
    """Return ``name value`` of each value; both directions, or all positions, of one measure are one.

    ``X_a_to_b`` and ``X_b_to_a`` (or ``X a→b`` and ``X b→a``) are the two directions of X, ``X/a`` and ``X/b``
    positions: ``loss 2.5``, ``triplet 1/1.5 (a→b/b→a)`` and ``perplexity 99/80 (quant2/quant3)``, in order.
    """
    ways = {name: match for name in values if (match := WAY.fullmatch(name))}
    keys = {(way["name"], way["one"], way["other"]): name for name, way in ways.items()}
    together: dict[str, dict[str, str]] = {}  # names of values by what each is called within its group, by group
    for name in values:
        way = ways.get(name)
        group, _, position = name.rpartition("/")
        if way and (way["name"], way["other"], way["one"]) in keys:
            together.setdefault(way["name"], {})[f"{way['one']}→{way['other']}"] = name
        else:
            together.setdefault(group or name, {})[position] = name
    return [text for group, names in together.items() for text in _written(group, names, values)]


def _written(group: str, names: dict[str, str], values: dict[str, Any]) -> list[str]:
    """Return ``name value`` of a value, or the values of a group after its name."""
    if len(names) == 1:
        return [f"{name} {float(values[name]):.4g}" for name in names.values()]
    return [f"{group} {'/'.join(f'{float(values[name]):.4g}' for name in names.values())} ({'/'.join(names)})"]


def short_list(values: dict[str, Any], width: int = 120, rest: str = "") -> str:
    """Return ``name value`` pairs for one line of a log, the most important first, as :func:`compact` makes them.

    The line keeps to ``width`` letters, and names where the ``rest`` can be read, such as ``in metrics.jsonl``. Only
    one or two pairs beyond are shown all the same: a remark that they are missing is hardly shorter and says less.
    """
    pairs = compact(values)
    shown = pairs[:1]
    for pair in pairs[1:]:
        if len("  ".join([*shown, pair])) > width:
            break
        shown.append(pair)
    left_out = len(pairs) - len(shown)
    if left_out <= FEW:
        return "  ".join(pairs)
    return f"{'  '.join(shown)}  and {left_out} more{' ' * bool(rest)}{rest}"


class RunLog:
    """Writes scalars, images and sounds of one run, on rank 0 and with a folder only.

    TensorBoard events from ``first_step`` on are dropped, as a resumed run writes them again; 0: all stay.
    """

    def __init__(self, folder: RunFolder | None, first_step: int = 0) -> None:
        self.folder = folder if is_main() else None
        self.writer = None
        if self.folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            with needs_room(self.folder.path):
                self.writer = SummaryWriter(str(self.folder.tensorboard), purge_step=first_step or None)
            if first_step:
                for row in self.folder.read_history():  # what is purged with the rest, but was not written too early
                    if row["step"] >= first_step:
                        values = {k: v for k, v in row.items() if isinstance(v, int | float)}
                        self._curves(row["step"], {k: v for k, v in values.items() if k not in ("step", "epoch")})

    def scalars(self, step: int, epoch: int, values: dict[str, float]) -> None:
        """Write named numbers at a step of an epoch (0-based), to TensorBoard and to metrics.jsonl."""
        if self.writer is None or self.folder is None:
            return
        self.folder.append({"step": step, "epoch": epoch, **values})
        self._curves(step, values)

    def _curves(self, step: int, values: dict[str, float]) -> None:
        """Write to TensorBoard, and to the disk at once: what a kill would take with it is no longer written again."""
        with needs_room(self.folder.path):
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def config(self, text: str, metrics: dict[str, float]) -> None:
        """Write the config, as YAML, and the final metrics by name."""
        if self.writer is None:
            return
        self.writer.add_text("config", "    " + text.replace("\n", "\n    "), 0)
        self.writer.add_text("metrics", "\n".join(f"    {name}: {value:.4g}" for name, value in metrics.items()), 0)

    def example(self, name: str, step: int, image: np.ndarray | None, waveform: np.ndarray | None, text: str) -> None:
        """Write an example: image (H, W, 3) uint8, 16 kHz sound (n,) in -1 to 1, and its caption."""
        if self.writer is None:
            return
        if image is not None:
            self.writer.add_image(f"{name}/image", image, step, dataformats="HWC")
        if waveform is not None:
            clipped = waveform.clip(-1, 1)[None, :]  # decoded mp3 and ogg pass full scale; TensorBoard warns of each
            self.writer.add_audio(f"{name}/speech", clipped, step, sample_rate=16000)
        self.writer.add_text(f"{name}/text", without_surrogates(text), step)

    def images(
        self, step: int, images: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray] = MappingProxyType({})
    ) -> None:
        """Write images (H, W, 3) uint8 and histograms of ``values``, by heading, at a step."""
        if self.writer is None:
            return
        for name, image in images.items():
            self.writer.add_image(name, image, step, dataformats="HWC")
        for name, numbers in values.items():
            self.writer.add_histogram(name, numbers, step)

    def hyperparameters(self, values: dict[str, Any], metrics: dict[str, float]) -> None:
        """Write flat hyper-parameters, by key path, with the metrics that they gave, for TensorBoard's HPARAMS page."""
        if self.writer is not None:
            self.writer.add_hparams(values, {f"final/{name}": value for name, value in metrics.items()}, run_name=".")

    def close(self) -> None:
        """Flush and close."""
        if self.writer is not None:
            self.writer.close()


class Throughput:
    """Samples per second and the fraction of time spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.samples = 0
        self.waited = 0.0
        self.start = time.perf_counter()

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield batches and count the time that fetching them takes."""
        iterator = iter(batches)
        while True:
            before = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.waited += time.perf_counter() - before
            yield batch

    def read(self) -> dict[str, float]:
        """Return the figures since the last reading and start anew."""
        seconds = max(1e-9, time.perf_counter() - self.start)
        figures = {"samples_per_second": self.samples / seconds, "data_wait_fraction": self.waited / seconds}
        self.reset()
        return figures


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as dotted keys with plain values (lists become text), for TensorBoard."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            flat |= flatten(value, name)
        else:
            flat[name] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat
