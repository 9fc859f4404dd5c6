"""A small stand-in for data that a preparation has still to make, in a temporary folder.

A dry run looks at nothing else. A run that makes its data first, which takes minutes, tries its task and data on one
before, so that what their constructors refuse is reported at once.
"""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import config
from common import distributed
from common.errors import TooFewRowsError, UserError
from config import Factory
from engine import seeding
from engine.context import Context

log = logging.getLogger(__name__)


class Nodes(NamedTuple):
    """Nodes of data and task; ``small`` data are a stand-in, which lacks rows and words that the real data have."""

    data: Factory
    task: Factory
    small: bool


def made_folder(arguments: Mapping[str, Any]) -> Path | None:
    """Return the folder that a preparation of these arguments makes: the first ``folder`` in them."""
    for key, value in arguments.items():
        if key == "folder":
            return config.resolve_path(value)
        if isinstance(value, Mapping) and (found := made_folder(value)):
            return found
    return None


def _is_missing(folder: Path | None, data: Factory) -> bool:
    """Return whether a preparation has something to make: its folder, or what the data name below it, is not there."""
    if folder is None:
        return False
    named = (path for _, path in data.paths() if path.is_relative_to(folder))
    return not all(path.exists() for path in (folder, *named))


@contextlib.contextmanager
def dry_nodes(prepare: Factory | None, data: Factory, task: Factory, context: Context) -> Iterator[Nodes]:
    """Yield nodes that point at a stand-in while what ``prepare`` makes is not there, or else the given ones.

    Errors of the preparation name the real folder, not the temporary one.
    """
    real = None if prepare is None else made_folder(prepare.arguments)
    if real is None or not _is_missing(real, data):
        yield Nodes(data, task, small=False)
        return
    log.info("dry run: %s is not there yet, a small stand-in is made in a temporary folder", real)
    with tempfile.TemporaryDirectory() as name, _named_as(real, Path(name)):
        prepare(dry_folder=Path(name))
        yield _nodes(context, real, Path(name))


def rehearse(prepare: Factory, data: Factory, context: Context, attempt: Callable[[Nodes], Any]) -> None:
    """Try task and data on a stand-in before the real data are made; do nothing when they are there (on every rank).

    The random state is the same afterwards. Some errors show only when the real data are made: those of the number of
    rows, of an empty split, of the words of a vocabulary and of the weights of a network that depends on it. Errors of
    ``attempt``, which builds the parts of the run, name the real folder; ``prepare`` reports its own errors later, when
    it runs.
    """
    real = made_folder(prepare.arguments)
    if not distributed.any_rank(_is_missing(real, data)):
        return
    state = seeding.random_state()
    try:
        with contextlib.ExitStack() as stack:
            folder = _small(prepare, stack)
            if distributed.any_rank(folder is None):
                return
            log.info("%s is not there yet; before it is made, task and data are tried on a small stand-in", real)
            stack.enter_context(_silence())
            stack.enter_context(_named_as(real, folder))
            stack.enter_context(contextlib.suppress(TooFewRowsError))
            attempt(_nodes(context, real, folder))
    finally:
        seeding.set_random_state(state)


def _small(prepare: Factory, stack: contextlib.ExitStack) -> Path | None:
    """Make a stand-in that goes with ``stack``; None where its preparation refuses, or must fetch, or lacks room."""
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with _silence():
            prepare(dry_folder=folder)
    except (UserError, OSError):
        return None
    return folder


def _nodes(context: Context, real: Path, folder: Path) -> Nodes:
    """Return the nodes of data and task with the paths of a stand-in."""
    redirected = replace(context)
    redirected.redirect(real, folder)
    data, task = (Factory.of(redirected.values[name], name) for name in ("data", "task"))
    return Nodes(data, task, small=True)


@contextlib.contextmanager
def _named_as(real: Path, folder: Path) -> Iterator[None]:
    """Name the real folder in what users read, as the temporary one says nothing to them."""
    try:
        yield
    except UserError as error:
        error.args = tuple(
            part.replace(str(folder), str(real)) if isinstance(part, str) else part for part in error.args
        )
        raise


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Log nothing but errors: all the rest is said again when the real data are used."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(former)
