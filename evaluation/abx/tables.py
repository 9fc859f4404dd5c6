"""Tables of ABX errors: a row for each layer, as text, CSV and JSON."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common.files import write_whole
from evaluation.abx.score import AbxResult, Distance, Speakers
from evaluation.numbers import number, rounded
from evaluation.retrieval.tables import csv_text

CHANCE = 0.5
FIELDS = ("layer", "distance", "speakers", "error", "triplets", "items", "short_items", "frame_seconds", "bitrate")
PAIR_FIELDS = ("layer", "distance", "speakers", "phone", "other", "error", "triplets")


class AbxRow(NamedTuple):
    """One error of one layer."""

    layer: str  # whose features were compared
    distance: Distance
    speakers: Speakers
    result: AbxResult
    items: int  # stretches of speech that were compared
    frame_seconds: float  # that each frame covers
    bitrate: float  # bits a second of the layer's frames with three decimals, see ``evaluation.abx.zerospeech``

    @property
    def measure(self) -> str:
        """Name the measure, such as ``cosine within``."""
        return f"{self.distance} {self.speakers}"

    def values(self) -> tuple:
        """Return the cells of the row in the order of ``FIELDS``."""
        found = self.result
        cells = (rounded(found.error), found.triplets, self.items, found.short, self.frame_seconds, self.bitrate)
        return (self.layer, self.distance, self.speakers, *cells)


def as_text(rows: Sequence[AbxRow]) -> str:
    """Return a line for each layer with its errors in percent."""
    layers, measures, errors = crossed(rows)
    lines = [("ABX error, %", *measures, "bit/s")]
    for layer, rate in layers.items():
        cells = (f"{100 * errors[layer, name]:.2f}" if (layer, name) in errors else "–" for name in measures)
        lines.append((layer, *cells, number(rate)))
    lines.append(("chance", *(f"{100 * CHANCE:.2f}" for _ in measures), ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )


def crossed(rows: Sequence[AbxRow]) -> tuple[dict[str, float], list[str], dict[tuple[str, str], float]]:
    """Return bitrates by layer, the measures, and errors by both."""
    layers = {row.layer: row.bitrate for row in rows}
    measures = list(dict.fromkeys(row.measure for row in rows))
    return layers, measures, {(row.layer, row.measure): row.result.error for row in rows}


def write_abx_tables(folder: Path, rows: Sequence[AbxRow]) -> None:
    """Write ``abx.txt``, ``abx.csv``, ``abx.json`` and ``abx_pairs.csv``, a line for each pair of phones."""
    pairs = [(*row[:3], *pair) for row in rows for pair in row.result.pairs]
    write_whole(folder / "abx.txt", as_text(rows).encode())
    write_whole(folder / "abx.csv", _csv(FIELDS, [row.values() for row in rows]).encode())
    write_whole(folder / "abx_pairs.csv", _csv(PAIR_FIELDS, pairs).encode())
    content = [dict(zip(FIELDS, map(_plain, row.values()), strict=True)) for row in rows]
    write_whole(folder / "abx.json", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(header: Sequence[str], lines: Sequence[Sequence]) -> str:
    return csv_text(header, ([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in line] for line in lines))
