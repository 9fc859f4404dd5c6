"""One page about classes that were never trained on: metrics, the seen-unseen curve, words that were silenced."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from evaluation.numbers import number
from evaluation.report.parts.curves import training_section
from evaluation.report.parts.page import document, write_page
from evaluation.report.parts.plots import line_chart
from evaluation.report.parts.tables import metrics_html
from evaluation.zero_shot import SeenUnseen

MOST_WORDS = 200  # words of each kind that the page lists; words.csv has all


def write_zero_shot_report(
    path: Path,
    title: str,
    metrics: dict[str, float],
    curve: SeenUnseen,
    kept: Mapping[str, float],
    silenced: Mapping[str, float],
    curves: dict[str, list[tuple[int, float]]] | None = None,
    config_yaml: str = "",
) -> Path:
    """Write the page; returns ``path``, whose folder is made if missing.

    Args:
        path: of the page.
        title: heading.
        metrics: by name.
        curve: accuracies of seen and unseen classes.
        kept: words and the relative norms of their columns, the largest first; empty without a reducing layer.
        silenced: the same of the words that were silenced.
        curves: of training, name to (step, value).
        config_yaml: the resolved config.
    """
    body = metrics_html(metrics) + _curve(curve) + _words(kept, silenced) + training_section(curves or {})
    return write_page(path, document(title, body, config_yaml=config_yaml))


def _curve(curve: SeenUnseen) -> str:
    points = [(100 * float(x), float(y)) for x, y in zip(curve.unseen, curve.seen, strict=True)]
    chart = line_chart("accuracy of seen classes", points, "accuracy of unseen classes (%)", percent=True)
    return (
        '<section><h2>Seen against unseen classes</h2><p class="lead">All classes compete; an offset from '
        f"{curve.offsets[0]:g} to {curve.offsets[-1]:.2g} is added to the similarity of the unseen ones. The area "
        f'under the curve is {curve.area:.3f}.</p><div class="charts">{chart}</div></section>'
    )


def _words(kept: Mapping[str, float], silenced: Mapping[str, float]) -> str:
    if not kept and not silenced:
        return ""
    return (
        '<section><h2>Words</h2><p class="lead">The norm of each word\'s column in the layer that reads documents, '
        "relative to the largest: a silenced word has no influence.</p>"
        f"{_listed('let pass', kept)}{_listed('silenced', silenced)}</section>"
    )


def _listed(name: str, words: Mapping[str, float]) -> str:
    shown = list(words.items())[:MOST_WORDS]
    rest = f" (the first {MOST_WORDS} are shown)" if len(words) > MOST_WORDS else ""
    plural = "" if len(words) == 1 else "s"
    cells = "".join(f"<tr><th>{escape(word)}</th><td>{number(share)}</td></tr>" for word, share in shown)
    return (
        f"<details><summary>{len(words)} word{plural} {name}{rest}</summary>"
        f'<div class="scroll"><table><tbody>{cells}</tbody></table></div></details>'
    )
