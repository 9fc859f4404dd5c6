"""The page of the table of concepts: words down, systems across, each cell with a bar of effect and control."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

STYLE = """
.concepts td, .concepts th { vertical-align: top; text-align: left; padding: 6px 8px; white-space: normal; }
.concepts td { min-width: 124px; }
.concepts small { color: var(--soft); display: block; white-space: normal; }
.concepts .line { display: grid; grid-template-columns: 1fr 72px; gap: 6px; align-items: center; font-size: 12px; }
.concepts .line b { font-weight: 600; } .concepts .track { background: rgba(128, 128, 128, .18); height: 8px; }
.concepts .track i { display: block; height: 8px; background: #8a8f98; } .concepts .line.own i { background: #2a78d6; }
.concepts .yes { color: #1a7f37; font-weight: 600; }
"""


class Cell(NamedTuple):
    """One word in one system; shares are 0-1, NaN where there is none."""

    what: str
    fit: float
    fit_chance: float
    effect: tuple[float, float]  # mean and standard deviation over seeds
    control: tuple[float, float]
    cases: int
    causes: bool


def concepts_html(
    parts: Sequence[tuple[str, str, str, str]], words: Mapping[str, tuple[str, Sequence[Cell | None]]], seeds: int
) -> str:
    """Return the table and its protocols.

    Args:
        parts: title, name of the fit, name of the effect and protocol of each system.
        words: kind and a cell for each system by word; None where a system lacks the word.
        seeds: how many.
    """
    head = "".join(f"<th>{escape(title)}<small>{escape(effect)}</small></th>" for title, _, effect, _ in parts)
    rows = "".join(
        f'<tr><th scope="row">{escape(word)}<small>{escape(kind)}</small></th>'
        + "".join(_cell(cell, part[1]) for cell, part in zip(cells, parts, strict=True))
        + "</tr>"
        for word, (kind, cells) in words.items()
    )
    lead = (
        f"Blue: effect; gray: control of equal size; mean and standard deviation over {seeds} seeds. "
        "✓: above the control in every seed, and twice as large at least."
    )
    protocols = "".join(f"<dt>{escape(title)}</dt><dd>{escape(text)}</dd>" for title, _, _, text in parts)
    return (
        f'<style>{STYLE}</style><p class="lead">{lead}</p><div class="scroll"><table class="concepts"><thead><tr>'
        f"<th>word</th>{head}</tr></thead><tbody>{rows}</tbody></table></div><dl>{protocols}</dl>"
    )


def _cell(cell: Cell | None, fit_name: str) -> str:
    if cell is None:
        return "<td>–</td>"
    mark = ' <span class="yes">✓</span>' if cell.causes else ""
    fit = f"{escape(fit_name)} {_number(cell.fit)} (chance {_number(cell.fit_chance)}); {cell.cases} cases"
    lines = _line("effect", cell.effect, " own") + _line("control", cell.control, "")
    return f"<td>{escape(cell.what)}{mark}<small>{fit}</small>{lines}</td>"


def _line(name: str, value: tuple[float, float], own: str) -> str:
    mean, std = value
    width = 0.0 if math.isnan(mean) else 100 * min(max(mean, 0.0), 1.0)
    text = "–" if math.isnan(mean) else f"{100 * mean:.0f} ± {100 * std:.0f} %" if std == std else f"{100 * mean:.0f} %"
    return (
        f'<div class="line{own}" title="{name}"><span class="track"><i style="width:{width:.0f}%"></i></span>'
        f"<b>{text}</b></div>"
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"
