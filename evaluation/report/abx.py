"""Section of a report about ABX errors of layers."""

from collections.abc import Sequence
from html import escape

from evaluation.abx.tables import CHANCE, AbxRow, crossed
from evaluation.numbers import number

WORST = 12  # pairs of phones shown


def abx_section(rows: Sequence[AbxRow]) -> str:
    """Return HTML of the errors of at least one row, and of the phones that are confused most."""
    layers, measures, errors = crossed(rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in measures)
    body = ""
    for layer, rate in layers.items():
        cells = "".join(_cell(errors.get((layer, name))) for name in measures)
        body += f'<tr><th scope="row">{escape(layer)}</th>{cells}<td>{number(rate)}</td></tr>'
    html = (
        '<p class="lead">How often a phone is nearer to another phone than to itself; the dark mark is chance, 50 %. '
        "Within: all three of one speaker; across: the third of another.</p>"
        f'<div class="scroll"><table><thead><tr><th>layer</th>{head}<th>bit/s</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div><details><summary>pairs of phones that are confused most</summary>"
    )
    for row in rows:
        worst = sorted(row.result.pairs, key=lambda pair: -pair.error)[:WORST]
        text = ", ".join(f"{pair.phone} – {pair.other} {100 * pair.error:.0f} %" for pair in worst)
        html += f"<p><b>{escape(row.layer)}, {row.measure}</b>: {escape(text)}</p>"
    return html + "</details>"


def _cell(error: float | None) -> str:
    if error is None:
        return "<td>–</td>"
    bar = f'<span class="bar"><b style="width:{100 * error:.2f}%"></b><i style="left:{100 * CHANCE:.0f}%"></i></span>'
    return f'<td class="value">{100 * error:.2f} %{bar}</td>'
