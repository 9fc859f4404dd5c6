"""Long data preparation on all cores: shards in worker processes that end with their parent, and a progress bar."""

import ast
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from common import file_lock
from common.errors import UserError

log = logging.getLogger(__name__)
AHEAD = 4  # shards handed out per worker, so that a long list is never in memory as a whole
GUARD = (
    "starts processes when it is imported, and each of them imports it again; expected its calls below "
    'if __name__ == "__main__":'
)
LINES = 10  # of progress, without a terminal
Shard = TypeVar("Shard")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[Shard], Result], shards: Iterable[Shard], workers: int, setting: str
) -> Iterator[Result]:
    """Apply a function to shards in processes; results come as they are done.

    Args:
        function: of one shard, at module level.
        shards: what it is applied to.
        workers: processes, each with one thread; up to 1 works in this process.
        setting: what the user calls their number.

    Yields:
        Results, in any order.

    Raises:
        UserError: a process died, or the program's script does its work when it is imported, as processes do again.
    """
    _refuse_while_imported()
    if workers <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield from map(function, shards)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")  # forking a process that runs torch threads can hang
    with _ends_cleanly(), ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        waiting = iter(shards)
        try:
            running = {pool.submit(function, shard) for shard in islice(waiting, AHEAD * workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, shard) for shard in islice(waiting, len(done))}
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            script = _script_without_guard()
            if script is not None:
                raise UserError(f"{script}: {GUARD}") from error
            raise UserError(
                "a worker process died, probably for want of memory; start the same command again (it goes on from "
                f"here) with fewer than {setting}={workers}"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _ends_cleanly() -> Iterator[None]:
    """Let SIGTERM end the workers first, and then this process as an exception does: semaphores are given back.

    Nothing changes if the program handles SIGTERM itself, or if this is not its main thread.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _refuse_while_imported() -> None:
    """End a worker (SystemExit) whose main script, imported at its start, would start processes of its own."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(f"{getattr(sys.modules.get('__mp_main__'), '__file__', 'the script')}: {GUARD}")


def _script_without_guard() -> str | None:
    """Return the program's script where it never compares its ``__name__`` with ``__main__``."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    try:
        script = ast.parse(Path(path or "").read_bytes())
    except (OSError, SyntaxError, ValueError):  # no script, or none in source, as of a zip
        return None
    compared = [node for node in ast.walk(script) if isinstance(node, ast.Compare)]
    return None if any(map(_asks_for_main, compared)) else path


def _asks_for_main(comparison: ast.Compare) -> bool:
    """Return whether a comparison is that of a guard, in whatever order."""
    sides = [comparison.left, *comparison.comparators]
    named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
    return named and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)


@contextlib.contextmanager
def progress(what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts some more of ``what`` (a noun): a bar on a terminal, else about ten lines."""
    if sys.stderr.isatty():
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total, completed=done)
            yield lambda count: bar.advance(task, count)
        return
    state = {"done": done}

    def advance(count: int) -> None:
        reported = state["done"] * LINES // total
        state["done"] += count
        if state["done"] * LINES // total > reported:
            log.info("%d of %d %s", state["done"], total, what)

    yield advance


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out where the file system has locks; the lock goes with the process, however it ends."""
    _refuse_while_imported()
    with path.open("w") as file:
        try:
            file_lock.take(file.fileno(), path.parent, wait=False)
        except BlockingIOError:
            log.info("another process works in %s; waiting for it", path.parent)
            file_lock.take(file.fileno(), path.parent, wait=True)
        yield


def _start_worker() -> None:
    """Take one thread, leave Ctrl-C to the parent, and end with it, even by kill -9."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """End this process when its parent ends, however it does."""
    parent = multiprocessing.parent_process()

    def end() -> None:
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=end, daemon=True).start()
