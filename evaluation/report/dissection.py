"""One page about a dissected generator: the units that match each label, with images of their activations."""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.numbers import number
from evaluation.report.parts.media import jpeg, outline
from evaluation.report.parts.page import document, write_page

EDGE = 96  # pixels of a thumbnail
LIMIT_MB = 10.0
UNIT_LINE, LABEL_LINE = (255, 150, 20), (70, 215, 255)
DIM = 0.35  # share of the light that remains where the unit is off
STYLE = """
.units { display: grid; gap: 10px; margin-top: 10px; }
.unit { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.unit p { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-bottom: 6px; font-variant-numeric: tabular-nums; }
.unit span { color: var(--soft); }
.thumbs { display: flex; flex-wrap: wrap; gap: 4px; }
.thumbs img { width: 96px; height: 96px; border-radius: 4px; display: block; }
.counts { display: grid; grid-template-columns: max-content minmax(60px, 420px) max-content; gap: 3px 12px; }
.counts { align-items: center; margin-top: 10px; font-size: 13.5px; font-variant-numeric: tabular-nums; }
.counts b { display: block; height: 9px; border-radius: 3px; background: var(--accent); }
.key { margin-top: 16px; }
.key i { display: inline-block; width: 22px; border-top: 3px solid; margin: 0 6px 4px 0; vertical-align: middle; }
details.label { border-bottom: 1px solid var(--line); padding: 8px 0; }
details.label summary { cursor: pointer; display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; }
details.label summary::before { content: "▸"; color: var(--soft); }
details.label[open] summary::before { content: "▾"; }
details.label summary span { color: var(--soft); font-size: 13.5px; font-variant-numeric: tabular-nums; }
"""


@dataclass
class ExampleImage:
    """Show an image with the cells of a unit and of a label."""

    image_u8: np.ndarray  # (R, R, 3) uint8
    unit: np.ndarray  # (H, W) bool, where the unit is on
    label: np.ndarray  # (H, W) bool, where the label is


@dataclass
class UnitView:
    """Show a unit and a label."""

    number: int  # of the unit
    iou: float  # intersection over union, 0-1
    threshold: float  # activation from which on it is on
    images: list[ExampleImage]  # those in which it is strongest
    own: bool = False  # this label is the unit's best, by the rule of the dissection


@dataclass
class LabelView:
    """A label and the units that match it best, best first."""

    name: str
    category: str  # its kind
    share: float  # of all pixels, 0-1
    made_by: int  # number of units that match it well enough to count
    units: list[UnitView]  # some of them


@dataclass
class LayerView:
    """Show a layer of the network that was dissected."""

    name: str
    units: int  # in all
    interpretable: int  # units that match a label well enough to count
    labels: list[LabelView] = field(default_factory=list)  # all that are shown


def thumbnail(sample: ExampleImage) -> np.ndarray:
    """Return an image (96, 96, 3) uint8, dim where the unit is off, with the outlines of the unit and of the label."""
    image = Image.fromarray(sample.image_u8).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.float32)
    unit, label = _enlarged(sample.unit), _enlarged(sample.label)
    pixels = np.where(unit[..., None], pixels, DIM * pixels)
    pixels[outline(label)] = LABEL_LINE
    pixels[outline(unit)] = UNIT_LINE
    return pixels.clip(0, 255).astype(np.uint8)


def write_dissection_report(
    path: Path, title: str, layers: list[LayerView], info: dict[str, str] | None = None, config_yaml: str = ""
) -> Path:
    """Write the page; units of further labels are left out where it would exceed 10 MB.

    ``info`` is name to value, shown first, and ``config_yaml`` the resolved config. Returns ``path``, whose folder is
    made if missing.
    """
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in (info or {}).items())
    body = f'<dl class="info">{rows}</dl>' + _summary(layers) + _key()
    left_out = 0
    for layer in layers:
        room = (LIMIT_MB * 1e6 - 200_000 - len(config_yaml)) / len(layers)
        body += f"<section><h2>{escape(layer.name)}</h2>{_counts(layer)}"
        shown = sorted(layer.labels, key=lambda view: -max((unit.iou for unit in view.units), default=0.0))
        for column, label in enumerate(shown):
            html = _label(label, column < 3)
            if len(html.encode()) > room:
                left_out += 1
                continue
            room -= len(html.encode())
            body += html
        body += "</section>"
    if left_out:
        body += f'<p class="note">Units of {left_out} labels left out to keep this file below {LIMIT_MB:.0f} MB.</p>'
    return write_page(path, document(title, body, STYLE, config_yaml=config_yaml))


def _summary(layers: list[LayerView]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(layer.name)}</th><td>{layer.units}</td><td>{layer.interpretable}</td>'
        f"<td>{sum(view.made_by > 0 for view in layer.labels)} of {len(layer.labels)}</td><td>{_best(layer)}</td></tr>"
        for layer in layers
    )
    return (
        '<section><h2>Layers</h2><p class="lead">A unit makes the label about which it carries most information; it '
        "counts when their intersection over union (IoU) and the information they share are large enough.</p>"
        '<div class="scroll"><table>'
        "<thead><tr><th></th><th>units</th><th>make a label</th><th>labels made</th>"
        "<th>clearest unit</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _best(layer: LayerView) -> str:
    pairs = [(unit.iou, unit.number, view.name) for view in layer.labels for unit in view.units]
    if not pairs:
        return "–"
    iou, unit, name = max(pairs)
    return f"unit {unit}: {escape(name)}, IoU {iou:.2f}"


def _key() -> str:
    return (
        '<p class="note key">Each unit is shown in the images where it is strongest, dim where it is off. '
        f'<i style="border-color:rgb{UNIT_LINE}"></i>unit on '
        f'<i style="border-color:rgb{LABEL_LINE};margin-left:14px"></i>label</p>'
    )


def _counts(layer: LayerView) -> str:
    """Return bars with the number of units of each label."""
    made = sorted((view for view in layer.labels if view.made_by), key=lambda view: -view.made_by)
    if not made:
        return '<p class="lead">No unit of this layer makes a label clearly enough to count.</p>'
    most = made[0].made_by
    bars = "".join(
        f'<span>{escape(view.name)}</span><b style="width:{100 * view.made_by / most:.1f}%"></b>'
        f"<span>{view.made_by}</span>"
        for view in made
    )
    return f'<h3>Units that make each label</h3><div class="counts">{bars}</div><h3>Labels, the clearest first</h3>'


def _label(view: LabelView, is_open: bool) -> str:
    best = max((unit.iou for unit in view.units), default=0.0)
    units = "".join(_unit(unit) for unit in view.units)
    return (
        f'<details class="label"{" open" if is_open else ""}><summary><strong>{escape(view.name)}</strong>'
        f"<span>{escape(view.category)}</span><span>best IoU {best:.2f}</span>"
        f"<span>{view.made_by} units make it</span><span>{100 * view.share:.2g} % of the pixels</span></summary>"
        f'<div class="units">{units}</div></details>'
    )


def _unit(unit: UnitView) -> str:
    images = "".join(f'<img src="{jpeg(thumbnail(sample), EDGE)}" alt="">' for sample in unit.images)
    own = "" if unit.own else "<span>makes another label better</span>"
    return (
        f'<div class="unit"><p><strong>unit {unit.number}</strong><span>IoU {unit.iou:.3f}</span>'
        f'<span>on from {number(unit.threshold)}</span>{own}</p><div class="thumbs">{images}</div></div>'
    )


def _enlarged(mask: np.ndarray) -> np.ndarray:
    shape = Image.fromarray(mask.astype(np.uint8) * 255).resize((EDGE, EDGE), Image.Resampling.BILINEAR)
    return np.asarray(shape) > 127
