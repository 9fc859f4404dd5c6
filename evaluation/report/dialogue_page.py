"""The page on which a scene is drawn turn by turn, from typed or spoken instructions."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from evaluation.report.parts.page import document

SCRIPT = Path(__file__).with_suffix(".js")
WORDS_SHOWN = 300  # known words
LONGEST = 1000  # characters of an instruction
STYLE = """
form { display: grid; gap: 10px; margin-top: 20px; max-width: 760px; }
input, .row button, .row .file { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 8px 12px; }
#instruction { width: 100%; }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; margin-top: 10px; }
.row input[type="number"] { width: 96px; }
.row button, .row .file { cursor: pointer; }
.row button:disabled, .row .file.off { opacity: 0.45; cursor: default; }
.file input { display: none; }
#send { font-weight: 600; border: 0; background: var(--accent); color: var(--card); padding: 8px 20px; }
#record[aria-pressed="true"] { background: var(--accent); color: var(--card); }
#problem { color: var(--accent); min-height: 1.5em; margin-top: 6px; }
#turns { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 20px; align-items: flex-start; }
#turns figure { width: min(200px, 46%); }
#turns figcaption { font-size: 13.5px; overflow-wrap: anywhere; margin-top: 4px; }
#turns .note { display: block; }
.frame { position: relative; aspect-ratio: 1; border-radius: 8px; overflow: hidden; background: var(--faint);
  border: 1px solid var(--line); }
.frame img { position: absolute; inset: 0; width: 100%; height: 100%; display: block; image-rendering: pixelated; }
.frame .gate { opacity: 0; transition: opacity 0.15s; }
.gates .frame .gate { opacity: 0.85; }
.candidates { display: grid; grid-template-columns: repeat(4, 1fr); gap: 4px; margin-top: 6px; }
.candidates button { padding: 0; border: 2px solid var(--line); border-radius: 6px; overflow: hidden; cursor: pointer;
  background: var(--card); color: var(--soft); font: 11px/1.5 inherit; font-variant-numeric: tabular-nums; }
.candidates button[aria-pressed="true"] { border-color: var(--accent); color: var(--ink); }
.candidates img { width: 100%; display: block; }
details { margin-top: 28px; } details p { font-size: 13.5px; max-width: 800px; }
"""


def dialogue_page(title: str, words: Sequence[str], address: str, most_candidates: int, deaf: str | None) -> str:
    """Return the page of a server.

    Args:
        title: of the page.
        words: that the model knows; none where they cannot be listed.
        address: of the server's dialogues.
        most_candidates: images of one turn.
        deaf: why no spoken instructions are taken, where none are; then they are typed, otherwise they are spoken.
    """
    off = " disabled" if deaf else ""
    told = escape(deaf or "Say one instruction, 30 seconds at most.")
    typed = "" if deaf else " disabled"
    hint = "add a red cube at the center" if deaf else "this model hears spoken instructions"
    shown = " ".join(map(escape, words[:WORDS_SHOWN]))
    more = f" and {len(words) - WORDS_SHOWN} more" if len(words) > WORDS_SHOWN else ""
    known = (
        f"<details><summary>{len(words)} words that the model knows</summary>"
        f'<p class="note" id="known">{shown}{more}</p></details>'
    )
    body = (
        '<form id="ask"><label for="instruction">What comes next in the scene?</label>'
        f'<input id="instruction" maxlength="{LONGEST}" placeholder="{hint}" autocomplete="off" required{typed}>'
        f'<div class="row"><button id="send"{typed}>Draw</button>'
        f'<label>candidates <input id="candidates" type="number" min="1" max="{most_candidates}" value="1"></label>'
        '<label>seed <input id="seed" type="number" min="0" value="0"></label></div></form>'
        f'<div class="row"><button type="button" id="record" aria-pressed="false"{off}>Record</button>'
        f'<label class="file{" off" if deaf else ""}">Sound file<input id="sound" type="file" accept="audio/*"{off}>'
        f'</label><span class="note" id="deaf">{told}</span></div>'
        '<p id="problem" role="alert"></p>'
        '<div class="row"><button type="button" id="undo" disabled>Undo</button>'
        '<button type="button" id="new">New scene</button>'
        '<label><input id="gates" type="checkbox"> gates, bright where nothing changes</label></div>'
        f'<div id="turns"></div>{known if words else ""}'
        "<noscript><p>This page needs its script; the server can be asked without it, see /openapi.json.</p></noscript>"
    )
    script = SCRIPT.read_text(encoding="utf-8")
    return document(title, body, STYLE, script, attributes=f'data-address="{escape(address)}"', served=True)
