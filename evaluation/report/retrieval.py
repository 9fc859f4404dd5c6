"""The evaluation report: metrics as JSON, as a table for the terminal, and as one HTML page that needs nothing else.

The page holds metrics with chance levels, training curves and example queries with image, sound, caption and match
map, all inline: no network, no server, at most 10 MB, readable in light and dark, on paper and without scripts.
"""

import json
import logging
import math
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import write_whole
from common.text_files import read_json
from evaluation.numbers import rounded
from evaluation.report.parts.cards import card
from evaluation.report.parts.content import Query, Report, Retrieved
from evaluation.report.parts.curves import training_section
from evaluation.report.parts.left_out_samples import left_out_text
from evaluation.report.parts.media import LINE, SHADE
from evaluation.report.parts.page import PARTS, document, write_page
from evaluation.report.parts.tables import metrics_html, metrics_table

__all__ = [
    "Query",
    "Report",
    "Retrieved",
    "best_and_worst",
    "has_metrics",
    "left_out_text",
    "metrics_table",
    "read_metrics",
    "write_metrics",
    "write_report",
]

log = logging.getLogger(__name__)
LIMIT_MB = 10.0
LETTERS = 160  # of a detail that are not folded
SECTIONS = {
    "speech_to_image": "Caption given, image looked for",
    "image_to_speech": "Image given, caption looked for",
}


def write_metrics(folder: Path, metrics: dict[str, float]) -> Path:
    """Write ``metrics.json``: rounded to six digits; not finite ones become null, which every JSON reader accepts."""
    clean = {name: rounded(value) if math.isfinite(value) else None for name, value in metrics.items()}
    path = folder / "metrics.json"
    write_whole(path, (json.dumps(clean, indent=1) + "\n").encode())
    return path


def read_metrics(path: Path) -> dict[str, float | None]:
    """Read ``metrics.json``; None was not finite. A damaged file is a UserError, a missing one a FileNotFoundError."""
    content = read_json(path, "delete it, and the command that made it makes it again")
    try:
        return {name: None if value is None else _number(value) for name, value in content.items()}
    except (AttributeError, TypeError, OverflowError) as error:
        raise UserError(
            f"{path} holds {f'{content!r:.60}'}, expected a number for each name: delete it, and the command that made "
            "it makes it again"
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return float(value)


def has_metrics(path: Path) -> bool:
    """Return whether there is a ``metrics.json`` that can be read; a damaged one is named in a warning."""
    try:
        read_metrics(path)
    except FileNotFoundError:
        return False
    except UserError as error:
        log.warning("%s", error)
        return False
    return True


def best_and_worst(ranks: np.ndarray, each: int = 4) -> list[int]:
    """Return indices of queries to show: ``each`` of the best and the worst, spread over those that are equally good.

    ``ranks`` (n,) are 0-based; indices are in their order, all of them when there are no more than ``2 * each``.
    """
    order = np.argsort(ranks, kind="stable")
    if len(order) <= 2 * each:
        return order.tolist()
    ties = order[ranks[order] == ranks[order[0]]]
    best = ties[np.linspace(0, len(ties) - 1, each).round().astype(int)] if len(ties) > each else order[:each]
    worst = [index for index in order[::-1] if index not in best][:each]
    return [*best.tolist(), *(int(index) for index in worst[::-1])]


def write_report(path: Path, report: Report) -> Path:
    """Write the report as one HTML file; returns ``path``, whose folder is made if missing.

    Queries come in both directions, the best first, then the worst. Once the page would exceed 10 MB, further queries
    go without sound, and then are left out with a note.
    """
    body = (
        metrics_html(report.metrics)
        + _sections(report)
        + training_section(report.curves, report.marks)
        + _queries(report)
    )
    page = document(
        report.title,
        body,
        script=(PARTS / "report.js").read_text(encoding="utf-8"),
        details=_details(report),
        attributes=f'data-shade="{escape(json.dumps(SHADE))}" data-line="{LINE}"',
        config_yaml=report.config_yaml,
    )
    return write_page(path, page)


def _details(report: Report) -> str:
    info = "".join(f"<dt>{escape(name)}</dt><dd>{_folded(str(value))}</dd>" for name, value in report.info.items())
    return f'<dl class="info">{info}</dl>'


def _folded(text: str) -> str:
    """Return a detail of the run, folded when it is long."""
    if len(text) <= LETTERS:
        return escape(text)
    return f"<details><summary>{escape(text[: LETTERS // 3])} …</summary>{escape(text)}</details>"


def _sections(report: Report) -> str:
    return "".join(f"<section><h2>{escape(heading)}</h2>{html}</section>" for heading, html in report.sections)


def _queries(report: Report) -> str:
    room = LIMIT_MB * 1e6 - 500_000 - len(_sections(report).encode())
    html, left_out = "", 0
    for direction, title in SECTIONS.items():
        total = _candidates(report.metrics, direction)
        queries = sorted((q for q in report.queries if q.direction == direction), key=lambda query: query.rank)
        if not queries:
            continue
        html += f"<section><h2>{title}</h2>"
        half = (len(queries) + 1) // 2
        for heading, group in (("Best", queries[:half]), ("Worst", queries[half:])):
            html += f"<h3>{heading}</h3>" if group else ""
            for query in group:
                fitting = (card(query, total, sound) for sound in (True, False))
                text = next((text for text in fitting if len(text.encode()) <= room), None)
                left_out += text is None
                room -= len((text or "").encode())
                html += text or ""
        html += "</section>"
    if left_out:
        html += f'<p class="note">{left_out} more queries left out to keep this file below {LIMIT_MB:.0f} MB.</p>'
    return html


def _candidates(metrics: dict[str, float], direction: str) -> int | None:
    """Return how many candidates a query had; None when unknown."""
    images = metrics.get("n")
    count = metrics.get("n_captions", images) if direction == "image_to_speech" else images
    return int(count) if count else None
