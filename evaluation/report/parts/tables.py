"""Metrics as tables: for the terminal, and for the page with a bar and the chance level for each share."""

import math
import re
from html import escape
from typing import NamedTuple

from evaluation.numbers import number
from evaluation.report.parts.left_out_samples import left_out_names, left_out_text

RECALL = re.compile(r"(?P<direction>[AI])_r(?P<k>\d+)")
FIRST_WIDTH = 14  # letters of the first column of the terminal's table
FURTHER = 12  # metrics besides those of retrieval that are not folded


class Row(NamedTuple):
    """Show one line of the retrieval table; None where there is no value.

    Recalls are shares (0-1), the others ranks.
    """

    name: str
    image: float | None  # of images looked for, given captions
    speech: float | None  # of captions looked for, given images
    both: float | None  # the mean of both directions
    chance: float | None  # reached by guessing, mean of both directions
    chances: tuple[float | None, float | None] = (None, None)  # the same looking for images, and looking for captions

    def show(self, value: float | None) -> str:
        """Return a value as text in this line's unit."""
        if value is None:
            return "–"
        return _percent(value) if self.name.startswith("recall") else number(value)


def metrics_table(metrics: dict[str, float | None]) -> str:
    """Return metrics as lines for the terminal: recall and median rank of both directions beside chance, then the rest.

    Names are ``A_r<k>`` (caption found for an image), ``I_r<k>`` (image found for a caption), ``median_rank_A``,
    ``median_rank_I``, ``n``, ``n_captions``, all optional, and any others.
    """
    rows, rest = _rows(metrics)
    lines = []
    if rows:
        what = _what(metrics)
        if len(what) > FIRST_WIDTH:
            lines.append(what)
            what = ""
        lines.append(f"{what:{FIRST_WIDTH}}{'caption → image':>16}{'image → caption':>16}{'both':>10}{'chance':>10}")
    for row in rows:
        image, speech, both, chance = map(row.show, row[1:5])
        lines.append(f"{row.name:{FIRST_WIDTH}}{image:>16}{speech:>16}{both:>10}{chance:>10}")
    width = max((len(name) for name in rest), default=0)
    lines.extend(f"{name:{width}}  {number(math.nan if value is None else value)}" for name, value in rest.items())
    return "\n".join(lines)


def _rows(metrics: dict[str, float | None]) -> tuple[list[Row], dict[str, float | None]]:
    """Return rows of the retrieval table, and the metrics that are in no row and are no counts of what was left out."""
    n = metrics.get("n")
    several = "n_captions" in metrics
    rows, used = [], set(left_out_names(metrics))
    for k in sorted({int(match["k"]) for name in metrics if (match := RECALL.fullmatch(name))}):
        names = [f"I_r{k}", f"A_r{k}", f"recall@{k}", f"chance_recall@{k}"]
        *shares, chance = map(metrics.get, names)
        chance = min(1.0, k / n) if n and chance is None else chance
        each = [f"chance_I_r{k}", f"chance_A_r{k}"]
        rows.append(Row(f"recall@{k}", *shares, chance, tuple(metrics.get(name, chance) for name in each)))
        used.update(names, each)
    for kind in ("median", "mean"):
        names = [f"{kind}_rank_I", f"{kind}_rank_A"]
        if not metrics.keys().isdisjoint(names):
            # With several right answers to an image chance has no such simple rank.
            rows.append(Row(f"{kind} rank", *map(metrics.get, names), None, (n + 1) / 2 if n and not several else None))
            used.update(names)
    if rows:
        used.update(("n", "n_captions"))
    return rows, {name: value for name, value in metrics.items() if name not in used}


def _what(metrics: dict[str, float]) -> str:
    """Say among what was searched, "" when unknown."""
    if "n_captions" in metrics:
        return f"{number(metrics['n_captions'])} captions of {number(metrics['n'])} images"
    return f"{number(metrics['n'])} pairs" if metrics.get("n") else ""


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "—"


def metrics_html(metrics: dict[str, float]) -> str:
    """Write the section of the page with ``metrics``, as :func:`metrics_table` takes them; nothing without metrics."""
    if not metrics:
        return ""
    rows, rest = _rows(metrics)
    html = "<section><h2>Metrics</h2>"
    if rows:
        what = _what(metrics)
        lead = f"Among {what}. " if what else ""
        html += (
            f'<p class="lead">{lead}The dark mark on a bar is chance.</p><div class="scroll"><table>'
            "<thead><tr><th></th>"
            "<th>caption&nbsp;→ image</th><th>image&nbsp;→ caption</th><th>both</th><th>chance</th></tr></thead><tbody>"
        )
        for row in rows:
            pairs = zip((row.image, row.speech), row.chances, strict=True)
            cells = "".join(_cell(row, value, chance) for value, chance in pairs)
            cells += f"<td>{row.show(row.both)}</td><td>{row.show(row.chance)}</td>"
            html += f'<tr><th scope="row">{row.name}</th>{cells}</tr>'
        html += "</tbody></table></div>"
    if text := left_out_text(metrics):
        html += f'<p class="note left-out">{text} left out, see skipped.csv beside this page.</p>'
    if rest:
        items = "".join(f"<tr><th>{escape(name)}</th><td>{number(value)}</td></tr>" for name, value in rest.items())
        table = f'<div class="scroll"><table><tbody>{items}</tbody></table></div>'
        counted = f"{len(rest)} more metrics" if rows else f"{len(rest)} metrics"
        html += f"<details><summary>{counted}</summary>{table}</details>" if len(rest) > FURTHER else table
    return html + "</section>"


def _cell(row: Row, value: float | None, chance: float | None) -> str:
    """Return a value with a bar on which chance is marked, where it is a share."""
    if value is None or not math.isfinite(value) or not row.name.startswith("recall"):
        return f"<td>{row.show(value)}</td>"
    times = f'<span class="times">{value / chance:.1f} × chance</span>' if chance else ""
    mark = f'<i style="left:{100 * chance:.2f}%"></i>' if chance is not None else ""
    bar = f'<span class="bar"><b style="width:{100 * min(1.0, max(0.0, value)):.2f}%"></b>{mark}</span>'
    return f'<td class="value">{row.show(value)}{times}{bar}</td>'
