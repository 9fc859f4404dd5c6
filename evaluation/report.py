"""The evaluation report: metrics as JSON, as a table for the terminal, and as one HTML page that needs nothing else.

The page holds metrics with chance levels, training curves and example queries with picture, sound, caption and match
map, all inline: no network, no server, at most 10 MB, readable in light and dark, on paper and without scripts.
"""

import base64
import hashlib
import json
import math
import os
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evaluation.report_parts.cards import card
from evaluation.report_parts.content import Query, Report, Retrieved
from evaluation.report_parts.media import RAMP
from evaluation.report_parts.plots import line_chart, number

__all__ = ["Query", "Report", "Retrieved", "best_and_worst", "metrics_table", "write_metrics", "write_report"]

PARTS = Path(__file__).parent / "report_parts"
LIMIT_MB = 10.0
RECALL = re.compile(r"(?P<direction>[AI])_r(?P<k>\d+)")
SECTIONS = {
    "speech_to_image": "Caption given, picture looked for",
    "image_to_speech": "Picture given, caption looked for",
}


class Row(NamedTuple):
    """One line of the retrieval table; None where there is no value."""

    name: str
    image: float | None
    speech: float | None
    both: float | None
    chance: float | None

    def show(self, value: float | None) -> str:
        """A value in this line's unit."""
        if value is None:
            return "–"
        return _percent(value) if self.name.startswith("recall") else number(value)


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


def metrics_table(metrics: dict[str, float]) -> str:
    """Metrics as plain text: recall and median rank of both directions beside chance, then everything else.

    Args:
        metrics: ``A_r<k>`` (caption found for a picture), ``I_r<k>`` (picture found for a caption), ``median_rank_A``,
            ``median_rank_I``, ``n``, all optional, and any others.

    Returns:
        Lines for the terminal.
    """
    rows, rest = _rows(metrics)
    lines = []
    if rows:
        pairs = f"{number(metrics['n'])} pairs" if metrics.get("n") else ""
        lines.append(f"{pairs:14}{'speech → image':>16}{'image → speech':>16}{'both':>10}{'chance':>10}")
    for row in rows:
        image, speech, both, chance = map(row.show, row[1:])
        lines.append(f"{row.name:14}{image:>16}{speech:>16}{both:>10}{chance:>10}")
    width = max((len(name) for name in rest), default=0)
    lines.extend(f"{name:{width}}  {number(value)}" for name, value in rest.items())
    return "\n".join(lines)


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
    body = "".join([_heading(report), _metrics(report.metrics), _curves(report), _queries(report), _config(report)])
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f'<body data-ramp="{escape(json.dumps(RAMP))}">\n<main>\n{body}</main>\n'
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


def _rows(metrics: dict[str, float]) -> tuple[list[Row], dict[str, float]]:
    """Rows of the retrieval table, and the metrics that are in no row."""
    n = metrics.get("n")
    rows, used = [], set()
    for k in sorted({int(match["k"]) for name in metrics if (match := RECALL.fullmatch(name))}):
        names = [f"I_r{k}", f"A_r{k}", f"recall@{k}"]
        chance = metrics.get("chance") if k == 10 else None
        rows.append(Row(f"recall@{k}", *map(metrics.get, names), min(1.0, k / n) if n and chance is None else chance))
        used.update(names)
    for kind in ("median", "mean"):
        names = [f"{kind}_rank_I", f"{kind}_rank_A"]
        if not metrics.keys().isdisjoint(names):
            rows.append(Row(f"{kind} rank", *map(metrics.get, names), None, (n + 1) / 2 if n else None))
            used.update(names)
    if rows:
        used.update(["n", "chance"])
    return rows, {name: value for name, value in metrics.items() if name not in used}


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "—"


def _heading(report: Report) -> str:
    info = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in report.info.items())
    return f'<header><h1>{escape(report.title)}</h1><dl class="info">{info}</dl></header>'


def _metrics(metrics: dict[str, float]) -> str:
    if not metrics:
        return ""
    rows, rest = _rows(metrics)
    html = "<section><h2>Metrics</h2>"
    if rows:
        n = metrics.get("n")
        lead = f"Among {number(n)} pairs. " if n else ""
        html += (
            f'<p class="lead">{lead}The dark mark on a bar is chance.</p><div class="scroll"><table>'
            "<thead><tr><th></th>"
            "<th>speech → image</th><th>image → speech</th><th>both</th><th>chance</th></tr></thead><tbody>"
        )
        for row in rows:
            cells = "".join(_cell(row, value) for value in (row.image, row.speech))
            cells += f"<td>{row.show(row.both)}</td><td>{row.show(row.chance)}</td>"
            html += f'<tr><th scope="row">{row.name}</th>{cells}</tr>'
        html += "</tbody></table></div>"
    if rest:
        items = "".join(f"<tr><th>{escape(name)}</th><td>{number(value)}</td></tr>" for name, value in rest.items())
        html += f'<div class="scroll"><table><tbody>{items}</tbody></table></div>'
    return html + "</section>"


def _cell(row: Row, value: float | None) -> str:
    """A value with a bar on which chance is marked, where it is a share."""
    if value is None or not math.isfinite(value) or not row.name.startswith("recall"):
        return f"<td>{row.show(value)}</td>"
    times = f'<span class="times">{value / row.chance:.1f} × chance</span>' if row.chance else ""
    mark = f'<i style="left:{100 * row.chance:.2f}%"></i>' if row.chance is not None else ""
    bar = f'<span class="bar"><b style="width:{100 * min(1.0, max(0.0, value)):.2f}%"></b>{mark}</span>'
    return f'<td class="value">{row.show(value)}{times}{bar}</td>'


def _curves(report: Report) -> str:
    charts = "".join(line_chart(name, points) for name, points in report.curves.items())
    return f'<section><h2>Training</h2><div class="charts">{charts}</div></section>' if charts else ""


def _queries(report: Report) -> str:
    room = LIMIT_MB * 1e6 - 500_000
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
