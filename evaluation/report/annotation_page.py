"""The page on which people write what changes between two images."""

from pathlib import Path

from evaluation.report.parts.page import document

SCRIPT = Path(__file__).with_suffix(".js")
STYLE = """
form { display: grid; gap: 10px; margin-top: 20px; max-width: 640px; }
textarea, input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 8px 10px; }
textarea { width: 100%; resize: vertical; min-height: 56px; }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: center; }
.row button { font: inherit; font-weight: 600; padding: 8px 20px; border: 1px solid var(--accent); border-radius: 8px;
  cursor: pointer; background: var(--accent); color: var(--card); }
.row button.plain { background: var(--card); color: inherit; }
.row button:disabled { opacity: 0.5; cursor: default; }
#problem { color: var(--accent); min-height: 1.5em; }
.pair { display: flex; flex-wrap: wrap; gap: 16px; margin-top: 16px; }
.pair figure { width: min(320px, 100%); margin: 0; }
.pair img { width: 100%; aspect-ratio: 1; border-radius: 6px; display: block; background: var(--faint); }
.pair figcaption { color: var(--soft); font-size: 13px; }
"""


def annotation_page(pairs: int, longest: int, longest_name: int) -> str:
    """Return the page of a server that shows so many ``pairs``; the others are characters of a text and of a name."""
    body = (
        '<p class="lead">Write, in your own words, what changes from the first image to the second.</p>'
        f'<label>your name <input id="annotator" maxlength="{longest_name}" autocomplete="nickname"></label>'
        '<div class="pair" hidden><figure><img id="before" alt="before"><figcaption>before</figcaption></figure>'
        '<figure><img id="after" alt="after"><figcaption>after</figcaption></figure></div>'
        f'<form id="write"><label for="text">What changes?</label><textarea id="text" maxlength="{longest}"></textarea>'
        '<div class="row"><button id="send" disabled>Keep and go on</button>'
        '<button id="skip" type="button" class="plain" disabled>Skip</button></div></form>'
        f'<p id="problem" role="alert"></p><p id="note" class="note">{pairs} pairs of images</p>'
        "<noscript><p>This page needs its script.</p></noscript>"
    )
    return document("What changes?", body, STYLE, SCRIPT.read_text(encoding="utf-8"), served=True)
