"""The page on which an image is moved along concepts by sliders or spoken words.

Units are switched off in a painted region.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from evaluation.report.parts.page import document

SCRIPT = Path(__file__).with_suffix(".js")
GRID = 16  # cells of a painted region, across and down
RANGE, STEP = 12, 0.5  # of a slider
STRIDE, SECONDS = 6, 2.0  # of a slider along a word that is heard; for which the microphone is on
STYLE = """
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; margin-top: 14px; }
.row button, select, input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 6px 12px; }
.row button { cursor: pointer; border-color: var(--accent); }
#problem { color: var(--accent); min-height: 1.5em; }
.pair { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 16px; }
.pair figure { width: min(320px, 100%); margin: 0; }
.pair figcaption { color: var(--soft); font-size: 13px; }
.frame { position: relative; aspect-ratio: 1; border-radius: 6px; overflow: hidden; background: var(--faint); }
.frame img, .frame canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.frame canvas { image-rendering: pixelated; cursor: crosshair; touch-action: none; }
#words { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 4px 20px; margin-top: 16px; }
#words label { display: grid; grid-template-columns: 90px 1fr 44px; gap: 8px; align-items: center; }
#words output { font-variant-numeric: tabular-nums; text-align: right; }
"""


def explorer_page(
    words: Sequence[str],
    classes: Sequence[str],
    units: Mapping[str, Sequence[str]],
    most_units: int,
    listens: bool = False,
) -> str:
    """Return the page.

    Args:
        words: that have a slider each.
        classes: names, maybe none.
        units: labels of each layer whose units are known, maybe none.
        most_units: that can be switched off at once.
        listens: whether the server hears spoken words.
    """
    sliders = "".join(
        f'<label><span>{escape(word)}</span><input type="range" data-word="{escape(word)}" '
        f'min="-{RANGE}" max="{RANGE}" step="{STEP}" value="0"><output>0</output></label>'
        for word in words
    )
    options = "".join(f"<option>{escape(name)}</option>" for name in classes)
    of_class = f'<label>class <select id="class"><option value="">any</option>{options}</select></label>'
    layers = "".join(f"<option>{escape(name)}</option>" for name in units)
    off = (
        '<h2>Units switched off</h2><p class="note">Paint on the image "after": there, the units that draw the label '
        'best are switched off.</p><div class="row">'
        f'<label>layer <select id="layer">{layers}</select></label><label>label <select id="label"></select></label>'
        f'<label>units <input id="units" type="number" min="1" max="{most_units}" value="10"></label>'
        '<button type="button" id="clear">Clear the region</button></div>'
    )
    speak = (
        '<div class="row" aria-label="speak a concept">Speak a concept:'
        f'<button type="button" id="record">Record {SECONDS:g} seconds</button>'
        '<label>or a sound <input id="sound" type="file" accept="audio/*"></label>'
        '<span id="heard" role="status"></span></div>'
    )
    body = (
        f'<div class="row"><button type="button" id="random">Another image</button>'
        f'<label>seed <input id="seed" type="number" min="0" value="0"></label>{of_class if classes else ""}'
        '<button type="button" id="zero">All sliders to 0</button></div>'
        '<div class="pair"><figure><div class="frame"><img id="before" alt="before"></div>'
        '<figcaption>before <a id="save-before" download="before.png">save</a></figcaption></figure>'
        f'<figure><div class="frame"><img id="after" alt="after"><canvas id="region" width="{GRID}" height="{GRID}">'
        '</canvas></div><figcaption>after <a id="save-after" download="after.png">save</a></figcaption></figure></div>'
        f'<p id="problem" role="alert"></p>{speak if listens else ""}<h2>Concepts</h2><div id="words">{sliders}</div>'
        f"{off if units else ''}"
        "<noscript><p>This page needs its script.</p></noscript>"
    )
    attributes = f'data-units="{escape(json.dumps(units))}" data-step="{STRIDE}" data-seconds="{SECONDS}"'
    script = SCRIPT.read_text(encoding="utf-8")
    return document("Concepts of a generator", body, STYLE, script, attributes=attributes, served=True)
