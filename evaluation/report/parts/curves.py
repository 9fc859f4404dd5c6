"""The section of a report about training: a chart for each curve, and a line for what was logged only once."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from evaluation.numbers import number
from evaluation.report.parts.labels import curve_name
from evaluation.report.parts.plots import line_chart

CHARTS = 9  # charts that are not folded
X_LABEL = "optimisation step"


def training_section(
    curves: Mapping[str, Sequence[tuple[float, float]]], marks: Mapping[str, Mapping[int, str]] = {}
) -> str:
    """Return HTML of the logged values of a run, (step, value) by names such as ``train/loss``; "" without curves.

    ``marks`` are, by the same names, the steps after which something changes, and what.
    """
    if not curves:
        return ""
    charts, lines = [], []
    for logged, points in curves.items():
        title, percent, rank = curve_name(logged)
        finite = [point for point in points if math.isfinite(point[1])]
        if len(finite) > 1:
            charts.append(line_chart(title, points, X_LABEL, percent, rank, marks.get(logged, {})))
        else:
            lines.append(_line(title, finite, percent))
    html = "<section><h2>Training</h2>"
    if charts:
        html += f'<div class="charts">{"".join(charts[:CHARTS])}</div>'
    if len(charts) > CHARTS:
        html += (
            f"<details><summary>{len(charts) - CHARTS} more curves</summary>"
            f'<div class="charts">{"".join(charts[CHARTS:])}</div></details>'
        )
    if lines:
        html += (
            '<div class="scroll"><table><thead><tr><th>logged only once</th><th>value</th>'
            f"<th>{X_LABEL}</th></tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        )
    return f"{html}</section>"


def _line(title: str, points: Sequence[tuple[float, float]], percent: bool) -> str:
    """Return a row of the table: name, value and step of the one finite point, if there is any."""
    cells = ("no finite value", "–")
    if points:
        ((step, value),) = points
        cells = (f"{number(100 * value)} %" if percent else number(value), number(step))
    return f'<tr><th scope="row">{escape(title)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
