"""One page about a segmenter: figures by attribute and label, and images with what was found in them."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.report.parts.curves import training_section
from evaluation.report.parts.media import jpeg
from evaluation.report.parts.page import document, write_page
from models.segmenter.labels import ATTRIBUTE_GROUPS, GROUPS

EDGE = 148  # pixels of a panel
WRONG = (255, 0, 220)
# one colour for each label of a group; those of "colour" are what they are called
PALETTES = {
    "size": ((230, 120, 20), (30, 150, 220)),
    "material": ((150, 110, 70), (90, 200, 220)),
    "shape": ((220, 60, 60), (60, 170, 80), (70, 90, 220), (230, 200, 40)),
    "colour": (
        (128, 128, 128), (215, 40, 40), (40, 70, 215), (30, 145, 40),
        (125, 75, 35), (130, 40, 170), (40, 205, 215), (235, 215, 40),
    ),
}  # fmt: skip
STYLE = """
.panels { display: grid; grid-template-columns: repeat(5, minmax(0, 148px)); gap: 4px; margin: 10px 0; }
.panels img { width: 100%; display: block; border-radius: 3px; }
.panels p { font-size: 13px; color: var(--soft); }
.keys { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: 13.5px; margin: 8px 0; }
.keys i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 5px; }
"""


@dataclass
class Overlay:
    """Show an image with the labels found in it and the true ones."""

    image_u8: np.ndarray  # (H, W, 3) uint8
    found: np.ndarray  # (5, H', W') labels of each group counted from 1, 0 on the background
    truth: np.ndarray | None = None  # the same, true; None when it is not known (samples of a generator)


def panels(overlay: Overlay) -> list[np.ndarray]:
    """Return five images (148, 148, 3) uint8: as it is, and for each attribute tinted with the labels found.

    These are size, material, shape, colour; wrong pixels are magenta.
    """
    image = np.asarray(Image.fromarray(overlay.image_u8).resize((EDGE, EDGE), Image.Resampling.BICUBIC), np.float32)
    shown = [image]
    for row, group in enumerate(ATTRIBUTE_GROUPS):
        tint = np.array([(0, 0, 0), *PALETTES[group.name]], np.float32)[overlay.found[row]]
        share = 0.72 * (overlay.found[row] > 0).astype(np.float32)
        if overlay.truth is not None:
            wrong = overlay.found[row] != overlay.truth[row]
            tint[wrong], share[wrong] = WRONG, 1.0
        tint, share = _enlarged(tint), _enlarged(share)[..., None]
        shown.append(image * 0.75 * (1 - share) + tint * share)
    return [panel.clip(0, 255).astype(np.uint8) for panel in shown]


def _enlarged(values: np.ndarray) -> np.ndarray:
    rows = np.arange(EDGE) * values.shape[0] // EDGE
    columns = np.arange(EDGE) * values.shape[1] // EDGE
    return values[rows][:, columns]


def write_segmentation_report(
    path: Path,
    title: str,
    metrics: dict[str, float],
    by_label: dict[str, float | None],
    overlays: list[Overlay],
    curves: dict[str, list[tuple[int, float]]] | None = None,
    config_yaml: str = "",
) -> Path:
    """Write the page; returns ``path``, whose folder is made if missing.

    Args:
        path: of the page.
        title: heading.
        metrics: as `evaluation.segmentation.LabelCounts.metrics` names them.
        by_label: intersection over union of each label, None for those that do not occur.
        overlays: examples.
        curves: name to (step, value).
        config_yaml: the resolved config.
    """
    body = _figures(metrics) + _labels(by_label) + _examples(overlays) + training_section(curves or {})
    return write_page(path, document(title, body, STYLE, config_yaml=config_yaml))


def _figures(metrics: dict[str, float]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{group.name}</th><td>{_share(metrics[f"accuracy_{group.name}"])}</td>'
        f"<td>{_share(metrics[f'iou_{group.name}'])}</td></tr>"
        for group in GROUPS
    )
    return (
        '<section><h2>Metrics</h2><p class="lead">Accuracy of attributes is over the pixels that truly show objects; '
        'of the ground over all. Intersection over union is the mean over labels.</p><div class="scroll"><table><thead>'
        "<tr><th></th><th>pixel accuracy</th><th>intersection over union</th></tr></thead>"
        f'<tbody>{rows}<tr><th scope="row">all</th><td>{_share(metrics["object_accuracy"])}</td>'
        f"<td>{_share(metrics['mean_iou'])}</td></tr></tbody></table></div></section>"
    )


def _share(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.1f} %"


def _labels(by_label: dict[str, float | None]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{_share(value)}</td></tr>" for name, value in by_label.items())
    return (
        "<section><h3>Intersection over union of each label</h3><details><summary>all labels</summary>"
        f'<div class="scroll"><table><tbody>{cells}</tbody></table></div></details></section>'
    )


def _examples(overlays: list[Overlay]) -> str:
    if not overlays:
        return ""
    keys = "".join(
        f'<div class="keys"><b>{group.name}</b>'
        + "".join(
            f'<span><i style="background:rgb{tint}"></i>{escape(label)}</span>'
            for label, tint in zip(group.labels, PALETTES[group.name], strict=True)
        )
        + "</div>"
        for group in ATTRIBUTE_GROUPS
    )
    names = "".join(f"<p>{name}</p>" for name in ("image", *(group.name for group in ATTRIBUTE_GROUPS)))
    shown = "".join(f'<img src="{jpeg(panel, EDGE)}" alt="">' for overlay in overlays for panel in panels(overlay))
    note = f'<p class="note">Wrong pixels are <span style="color:rgb{WRONG}">magenta</span>.</p>'
    return f'<section><h2>Examples</h2>{keys}{note}<div class="panels">{names}{shown}</div></section>'
