"""The page on which captions are typed and images of every stage are seen, with the attention of each word."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from evaluation.report.parts.page import document

SCRIPT = Path(__file__).with_suffix(".js")
WORDS_SHOWN = 300  # known words
STYLE = """
form { display: grid; gap: 10px; margin-top: 20px; max-width: 640px; }
textarea, input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 8px 10px; }
textarea { width: 100%; resize: vertical; min-height: 64px; }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; }
.row input { width: 110px; }
.row button { font: inherit; font-weight: 600; padding: 8px 20px; border: 0; border-radius: 8px; cursor: pointer;
  background: var(--accent); color: var(--card); }
.row button:disabled { opacity: 0.5; cursor: default; }
#problem { color: var(--accent); min-height: 1.5em; }
#words { display: flex; flex-wrap: wrap; gap: 6px; margin: 16px 0 4px; }
.word { font: inherit; color: inherit; padding: 3px 10px; border: 1px solid var(--line); border-radius: 14px;
  background: var(--card); cursor: pointer; }
.word:hover, .word:focus-visible, .word[aria-pressed="true"] { border-color: var(--accent);
  background: var(--accent-soft); }
.word.best { font-weight: 600; }
.generated { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 16px; }
.generated figure { width: min(256px, 100%); }
.generated figcaption { color: var(--soft); font-size: 13px; }
.frame { position: relative; aspect-ratio: 1; border-radius: 6px; overflow: hidden; background: var(--faint); }
.frame img, .frame canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
details { margin-top: 24px; } details p { font-size: 13.5px; max-width: 800px; }
"""


def text_to_image_page(title: str, words: Sequence[str], longest: int, most_copies: int, address: str) -> str:
    """Return the page of a server.

    Args:
        title: of the page.
        words: that the model knows.
        longest: characters of a caption.
        most_copies: images of one caption.
        address: of the server, to which captions are sent as JSON.
    """
    shown = " ".join(map(escape, words[:WORDS_SHOWN]))
    more = f" and {len(words) - WORDS_SHOWN} more" if len(words) > WORDS_SHOWN else ""
    body = (
        '<form id="ask"><label for="caption">Caption</label>'
        f'<textarea id="caption" maxlength="{longest}" required autofocus></textarea><div class="row">'
        f'<label>images <input id="copies" type="number" min="1" max="{most_copies}" value="1"></label>'
        '<label>seed <input id="seed" type="number" min="0" placeholder="drawn"></label>'
        '<button id="send">Generate</button></div></form><p id="problem" role="alert"></p>'
        '<div id="words" hidden></div><p id="note" class="note"></p><div id="images"></div>'
        f"<details><summary>{len(words)} words that the model knows</summary>"
        f'<p class="note">{shown}{more}</p></details>'
        "<noscript><p>This page needs its script; the server can be asked without it, see /openapi.json.</p></noscript>"
    )
    script = SCRIPT.read_text(encoding="utf-8")
    attributes = f'data-address="{escape(address)}"'
    return document(title, body, STYLE, script, attributes=attributes, served=True)
