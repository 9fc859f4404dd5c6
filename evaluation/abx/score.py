"""ABX phone discrimination, scored by the library fastabx (arXiv:2505.02692): how well features distinguish phones.

A and X are two tokens of one phone, B one of another. The error is the share of triplets in which X is nearer to B than
to A (ties count half); chance is one half. The three have the same neighbouring phones, and one speaker (``within``)
or A and B one and X another (``across``). Two stretches are compared by dynamic time warping: the mean distance of
their frames along the best path. Errors are averaged over contexts, then over speakers, then over pairs of phones, as
in the ZeroSpeech challenges.

The library needs Python 3.12; everything else here does without it.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from config.limits import Megabytes, Seed
from evaluation.abx.frames import Distributions, FrameFile, Stretches, distributions, power
from evaluation.abx.items import AbxError, Items

PYTHON = sys.version_info[:3]
NEEDED = (3, 12)
Speakers = Literal["within", "across"]
Distance = Literal["cosine", "kl"]
NAMES = {"cosine": "angular", "kl": "kl_symmetric"}  # fastabx's
FLOAT_BYTES = 4
Transform = Callable[[Tensor], Tensor]
Several = Annotated[int, Field(ge=2)]


@dataclass
class Comparing:
    """Choice of the triplets that are compared.

    Attributes:
        neighbours: ``same``: A, B and X have the same phones before and behind them, as in ZeroSpeech; ``any``: those
            do not matter, which is for items that are phones alone.
        max_size_group: so many tokens of A, of B and of X are drawn for each pair of phones, context and speaker; 10 in
            ZeroSpeech's own code; None takes all.
        max_x_across: so many other speakers of X are drawn for each; 5 in ZeroSpeech's own code; None takes all.
        seed: of these draws.
        kl: how frames become distributions for the Kullback-Leibler divergence: ``shares``: each value's share of the
            frame's sum, negative ones counting as zero; ``softmax``: that of the values.
        budget_mb: memory for the frames that are compared at a time.
    """

    neighbours: Literal["same", "any"] = "same"
    max_size_group: Several | None = 10
    max_x_across: Several | None = 5
    seed: Seed = 0
    kl: Distributions = "shares"
    budget_mb: Megabytes = 256


@dataclass
class Triplets:
    """All triplets of one way of comparing."""

    speakers: Speakers
    comparing: Comparing
    items: Items
    used: list[int]  # indices of the items that any triplet holds, in order
    cells: int  # pairs of phones in one context and of one speaker, or pair of speakers
    task: Any  # fastabx's


class PairError(NamedTuple):
    """Say how often one phone is taken for another."""

    phone: str  # of A and X
    other: str  # of B
    error: float  # 0-1, share of the triplets
    triplets: int  # that were compared


class AbxResult(NamedTuple):
    """One score."""

    error: float  # 0-1, averaged over contexts, speakers and pairs of phones
    triplets: int  # that were compared
    short: int  # items that held the middle of no frame and were compared by the one frame that they lie in
    pairs: list[PairError]  # of phones
    seconds: float  # that the comparison took


def fastabx() -> Any:
    """Import the library; raises AbxError where this Python is too old for it, or it is not installed."""
    if PYTHON < NEEDED:
        raise AbxError(
            f"ABX errors are computed by the package fastabx, which needs Python {'.'.join(map(str, NEEDED))} or "
            f"newer, and this is {'.'.join(map(str, PYTHON))}: make .venv with a newer one; resdavenet_vq/dump.yaml "
            "works with this one"
        )
    try:
        import fastabx as library
    except ImportError as error:
        raise AbxError(
            f"ABX errors are computed by the package fastabx, which cannot be imported ({error}): "
            "pip install -r requirements-abx.txt (for Linux it has packages for x86-64 alone)"
        ) from error
    return library


def find_triplets(items: Items, speakers: Speakers, comparing: Comparing) -> Triplets:
    """Build the triplets of an item file, for which no features are needed yet.

    Raises AbxError where there are none, or fastabx cannot be used.
    """
    library = fastabx()
    import polars

    rows = items.rows
    names = ("phone", "previous", "following", "speaker")
    heads = ("#phone", "prev-phone", "next-phone", "speaker")
    labels = polars.DataFrame(
        {head: [getattr(row, name) for row in rows] for head, name in zip(heads, names, strict=True)}
    )
    by = ["prev-phone", "next-phone"] if comparing.neighbours == "same" else []
    by, across = (by, ["speaker"]) if speakers == "across" else ([*by, "speaker"], [])
    sampler = _ordered(library)(comparing.max_size_group, comparing.max_x_across, comparing.seed)
    try:
        task = library.Task(library.Dataset(labels, None), on="#phone", by=by, across=across, subsampler=sampler)
    except library.EmptyTaskError as error:
        raise AbxError(_none(items, speakers, comparing)) from error
    used: set[int] = set()
    for column in ("index_a", "index_b", "index_x"):
        used.update(task.cells[column].explode(empty_as_null=False).unique().to_list())
    return Triplets(speakers, comparing, items, sorted(used), len(task), task)


def _ordered(library: Any) -> Any:
    """Return the library's sampler on cells in alphabetical order: several threads join them in any order."""

    class Ordered(library.Subsampler):
        def __call__(self, lazy_cells: Any, *, with_across: bool) -> Any:
            columns = [name for name in lazy_cells.collect_schema() if not name.startswith("index_")]
            return super().__call__(lazy_cells.sort(columns), with_across=with_across).sort(columns)

    return Ordered


def _none(items: Items, speakers: Speakers, comparing: Comparing) -> str:
    count, known = len(items.rows), len({row.speaker for row in items.rows})
    wanted = "of one speaker" if speakers == "within" else "of one speaker, and the first also of another"
    context = " in the same context" if comparing.neighbours == "same" else ""
    return (
        f"{items.path} gives no triplets {speakers} speakers ({count} items, {known} speakers): expected two phones"
        f"{context} {wanted}; give more utterances of fewer speakers, items that are phones alone with "
        "comparing.neighbours=any, or leave this comparison out"
    )


def score(triplets: Triplets, frames: FrameFile, distance: Distance, decibels: bool = False) -> AbxResult:
    """Compare the features of all triplets.

    Args:
        triplets: of :func:`find_triplets`.
        frames: of every utterance that :attr:`Triplets.used` needs.
        distance: ``cosine``: the angle between two frames, over pi; ``kl``: the mean of both Kullback-Leibler
            divergences.
        decibels: whether the features are in dB, whose power is shared out for ``kl``.
    """
    library = fastabx()
    start = time.perf_counter()
    rows = triplets.items.rows
    transform = _shares(triplets.comparing.kl, decibels) if distance == "kl" else _unit(library)
    stretches = Stretches(frames, rows, triplets.used, transform, library.Batch, is_normalized=distance == "cosine")
    triplets.task.dataset = library.Dataset(triplets.task.dataset.labels, stretches)
    with _bounded(triplets, stretches.longest, frames.channels):
        scored = library.Score(triplets.task, NAMES[distance], progress=False)
    levels = [("next-phone", "prev-phone")] if triplets.comparing.neighbours == "same" else []
    details = scored.details(levels=[*levels, "speaker"])
    pairs = sorted(PairError(*row) for row in details.select("#phone", "#phone_b", "score", "size").iter_rows())
    short = sum(frames.is_short(rows[index]) for index in triplets.used)
    error = math.fsum(pair.error for pair in pairs) / len(pairs)
    return AbxResult(error, sum(pair.triplets for pair in pairs), short, pairs, time.perf_counter() - start)


def _unit(library: Any) -> Transform:
    """Return fastabx's normalisation of frames to length 1, whose border keeps a frame of zeros far from all others."""

    def transform(values: Tensor) -> Tensor:
        accessor = library.InMemoryAccessor({0: (0, len(values))}, values, values.device)
        accessor.normalize_()
        return accessor.data

    return transform


def _shares(kind: Distributions, decibels: bool) -> Transform:
    """Return what makes distributions of frames."""

    def transform(values: Tensor) -> Tensor:
        return distributions(power(values) if decibels and kind == "shares" else values, kind)

    return transform


@contextmanager
def _bounded(triplets: Triplets, longest: int, channels: int) -> Iterator[None]:
    """Set how many items fastabx reads and compares at a time; it takes both numbers from the environment.

    Three chunks of items are alive at once (one read ahead, one waiting, one compared), and three lattices of frames.
    """
    budget = triplets.comparing.budget_mb * 2**20
    each = triplets.comparing.max_size_group or 100
    limits = {
        "FASTABX_GATHER_CHUNK_ROWS": budget // (3 * longest * (channels + 1) * FLOAT_BYTES),
        "FASTABX_MAX_SCORE_CHUNK_ROWS": budget // (3 * each * longest**2 * FLOAT_BYTES),
    }
    former = {name: os.environ.get(name) for name in limits}
    os.environ.update({name: str(min(8192, max(1, value))) for name, value in limits.items()})
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def needed_utterances(triplets: Sequence[Triplets]) -> set[str]:
    """Return the names of the utterances whose features are compared in any of ``triplets``."""
    return {found.items.rows[index].file for found in triplets for index in found.used}
