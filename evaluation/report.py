"""The evaluation report: metrics as JSON, as a table for the terminal, and as one HTML page that needs nothing else.

The page holds metrics with chance levels, training curves and example queries with picture, sound, caption and match
map, all inline: no network, no server, at most 10 MB, readable in light and dark, on paper and without scripts.
"""

import base64
import hashlib
import json
import math
import os
from html import escape
from pathlib import Path

import numpy as np

from evaluation.report_parts.cards import card
from evaluation.report_parts.content import Query, Report, Retrieved
from evaluation.report_parts.labels import curve_name
from evaluation.report_parts.media import LINE, SHADE
from evaluation.report_parts.plots import line_chart
from evaluation.report_parts.tables import metrics_html, metrics_table

__all__ = ["Query", "Report", "Retrieved", "best_and_worst", "metrics_table", "write_metrics", "write_report"]

PARTS = Path(__file__).parent / "report_parts"
LIMIT_MB = 10.0
CHARTS, LETTERS = 9, 160  # curves and letters of a detail that are not folded
SECTIONS = {
    "speech_to_image": "Caption given, picture looked for",
    "image_to_speech": "Picture given, caption looked for",
}


def write_metrics(folder: Path, metrics: dict[str, float]) -> Path:
    """Write ``metrics.json``; values that are not finite become null, which every JSON reader accepts.

    Args:
        folder: made if missing.
        metrics: name -> value.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clean = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    return _replace(folder / "metrics.json", json.dumps(clean, indent=1) + "\n")


def best_and_worst(ranks: np.ndarray, each: int = 4) -> list[int]:
    """Which queries to show: the best and the worst, spread over those that are equally good.

    Args:
        ranks: (n,) 0-based ranks of the true match.
        each: how many of either kind.

    Returns:
        Indices, best first; all of them when there are no more than ``2 * each``.
    """
    order = np.argsort(ranks, kind="stable")
    if len(order) <= 2 * each:
        return order.tolist()
    ties = order[ranks[order] == ranks[order[0]]]
    best = ties[np.linspace(0, len(ties) - 1, each).round().astype(int)] if len(ties) > each else order[:each]
    worst = [index for index in order[::-1] if index not in best][:each]
    return [*best.tolist(), *(int(index) for index in worst[::-1])]


def write_report(path: Path, report: Report) -> Path:
    """Write the report as one HTML file.

    Queries come in both directions, the best first, then the worst. Once the page would exceed 10 MB, further queries
    go without sound, and then are left out with a note.

    Args:
        path: the file; its folder is made if missing.
        report: what to show.

    Returns:
        ``path``.
    """
    style = (PARTS / "report.css").read_text(encoding="utf-8")
    script = (PARTS / "report.js").read_text(encoding="utf-8")
    # only this very script may run, and nothing may be fetched, whatever a caption or a config contains
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    parts = (_heading(report), metrics_html(report.metrics), _sections(report), _curves(report), _queries(report))
    body = "".join([*parts, _config(report)])
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f'<body data-shade="{escape(json.dumps(SHADE))}" data-line="{LINE}">\n<main>\n{body}</main>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return _replace(path, page)


def _replace(path: Path, text: str) -> Path:
    """Write beside the file and rename, so that a reader never sees half of it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
    return path


def _heading(report: Report) -> str:
    info = "".join(f"<dt>{escape(name)}</dt><dd>{_folded(str(value))}</dd>" for name, value in report.info.items())
    return f'<header><h1>{escape(report.title)}</h1><dl class="info">{info}</dl></header>'


def _folded(text: str) -> str:
    """A detail of the run, folded when it is long."""
    if len(text) <= LETTERS:
        return escape(text)
    return f"<details><summary>{escape(text[: LETTERS // 3])} …</summary>{escape(text)}</details>"


def _sections(report: Report) -> str:
    return "".join(f"<section><h2>{escape(heading)}</h2>{html}</section>" for heading, html in report.sections)


def _curves(report: Report) -> str:
    named = ((curve_name(logged), points) for logged, points in report.curves.items())
    charts = [line_chart(name.title, points, "optimisation step", name.percent) for name, points in named]
    if not charts:
        return ""
    html = f'<section><h2>Training</h2><div class="charts">{"".join(charts[:CHARTS])}</div>'
    if len(charts) > CHARTS:
        html += (
            f"<details><summary>{len(charts) - CHARTS} more curves</summary>"
            f'<div class="charts">{"".join(charts[CHARTS:])}</div></details>'
        )
    return f"{html}</section>"


def _queries(report: Report) -> str:
    room = LIMIT_MB * 1e6 - 500_000 - len(_sections(report).encode())
    total = int(report.metrics["n"]) if report.metrics.get("n") else None
    html, left_out = "", 0
    for direction, title in SECTIONS.items():
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


def _config(report: Report) -> str:
    if not report.config_yaml:
        return ""
    return (
        "<section><h2>Config</h2><details><summary>the resolved config</summary>"
        f"<pre>{escape(report.config_yaml)}</pre></details></section>"
    )
