"""One page about a localiser: figures, every class, and images with what was found where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from evaluation.report.parts.curves import training_section
from evaluation.report.parts.media import jpeg
from evaluation.report.parts.page import document, write_page

EDGE = 148  # pixels of an image
RIGHT, MISSED, WRONG = (60, 200, 90), (250, 200, 30), (255, 0, 220)
STYLE = """
.located { display: flex; flex-wrap: wrap; gap: 6px; margin: 10px 0; }
.located img { width: 148px; display: block; border-radius: 3px; }
"""
NAMES = {
    "f1": "F1 over all decisions",
    "precision": "precision",
    "recall": "recall",
    "jaccard": "Jaccard index, mean of images",
    "rsim": "similarity of relations, mean of images",
}


@dataclass
class LocatedImage:
    """An image with the objects found in it and the true ones."""

    image_u8: np.ndarray  # (H, W, 3) uint8
    found: np.ndarray  # (K,) bool
    places: np.ndarray  # (K, C) where, as shares of the image
    there: np.ndarray  # (K,) bool
    truth: np.ndarray  # (K, C)


def located(example: LocatedImage) -> np.ndarray:
    """Return the image (148, 148, 3) uint8 with a ring where an object was found, and a square where one is."""
    image = Image.fromarray(example.image_u8).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for kind in np.flatnonzero(example.there):
        x, y = (float(value) * EDGE for value in example.truth[kind][:2])
        draw.rectangle((x - 4, y - 4, x + 4, y + 4), outline=RIGHT if example.found[kind] else MISSED, width=2)
    for kind in np.flatnonzero(example.found):
        x, y = (float(value) * EDGE for value in example.places[kind][:2])
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), outline=RIGHT if example.there[kind] else WRONG, width=2)
    return np.asarray(image)


def classes_table(classes: Sequence[str], confusion: np.ndarray) -> str:
    """Return HTML of images by class (K, 2, 2): rows are whether it is there, columns whether it is found."""
    rows = ""
    for name, cells in zip(classes, confusion, strict=True):
        (rest, wrong), (missed, right) = cells.tolist()
        total = 2 * right + wrong + missed
        f1 = f"{100 * 2 * right / total:.1f} %" if total else "–"
        rows += (
            f'<tr><th scope="row">{escape(name)}</th><td>{f1}</td><td>{right}</td><td>{missed}</td><td>{wrong}</td>'
            f"<td>{rest}</td></tr>"
        )
    head = "<th></th><th>F1</th><th>found</th><th>missed</th><th>wrongly found</th><th>rightly not found</th>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def scores_table(
    metrics: Mapping[str, float], scores: Sequence[str], turns: Sequence[str], against: Sequence[str]
) -> str:
    """Return HTML of scores by protocol: ``metrics`` hold ``<score>_<turns>_<against>`` each."""
    protocols = [(one, other) for other in against for one in turns]
    head = "".join(f"<th>{escape(one)} turns, against {escape(other)}</th>" for one, other in protocols)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{100 * metrics[f'{name}_{one}_{other}']:.2f} %</td>" for one, other in protocols)
        + "</tr>"
        for name in scores
    )
    return f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def write_localizer_report(
    path: Path,
    title: str,
    metrics: Mapping[str, float],
    classes: Sequence[str],
    confusion: np.ndarray,
    examples: Sequence[LocatedImage],
    curves: Mapping[str, Sequence[tuple[int, float]]] | None = None,
    config_yaml: str = "",
) -> Path:
    """Write the page; returns ``path``, whose folder is made if missing.

    Args:
        path: of the page.
        title: heading.
        metrics: those of :data:`NAMES` and ``location_error`` in pixels of 128.
        classes: names of the K classes.
        confusion: (K, 2, 2) as of ``evaluation.object_scores.confusion``.
        examples: images.
        curves: name to (step, value).
        config_yaml: the resolved config.
    """
    rows = "".join(
        f'<tr><th scope="row">{label}</th><td>{100 * metrics[name]:.1f} %</td></tr>' for name, label in NAMES.items()
    )
    rows += f'<tr><th scope="row">error of a coordinate</th><td>{metrics["location_error"]:.1f} of 128 pixels</td></tr>'
    shown = "".join(f'<img src="{jpeg(located(example), EDGE)}" alt="">' for example in examples)
    body = (
        f'<section><h2>Metrics</h2><div class="scroll"><table><tbody>{rows}</tbody></table></div></section>'
        f"<section><h3>Classes</h3><details><summary>all classes</summary>{classes_table(classes, confusion)}</details>"
        f'</section><section><h2>Examples</h2><p class="note">Squares are true places, <span style="color:rgb{MISSED}">'
        f'missed</span> or not; rings are found, <span style="color:rgb{WRONG}">wrongly</span> or not.</p>'
        f'<div class="located">{shown}</div></section>'
    )
    return write_page(
        path, document(title, body + training_section(dict(curves or {})), STYLE, config_yaml=config_yaml)
    )
