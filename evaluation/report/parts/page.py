"""The frame of a page that needs nothing else: style inline, nothing fetched, no scripts unless given."""

import base64
import hashlib
from html import escape
from pathlib import Path

from common.files import write_whole

PARTS = Path(__file__).parent


def document(
    title: str,
    body: str,
    style: str = "",
    script: str = "",
    details: str = "",
    attributes: str = "",
    config_yaml: str = "",
    served: bool = False,
) -> str:
    """Return a whole HTML page in the style of the reports; only its own script may run, and nothing may be fetched.

    ``body`` is the HTML inside ``main``, before the config; ``style`` has further rules, ``details`` are HTML below the
    title, and ``attributes`` are those of ``body``, where the script finds its settings. The script of a page that is
    ``served`` may ask the page's own server, and show its images.
    """
    shared = (PARTS / "report.css").read_text(encoding="utf-8")
    own = " 'self'; connect-src 'self'" if served else ""
    policy = f"default-src 'none'; img-src data:{own}; media-src data:; style-src 'unsafe-inline'"
    policy += "; base-uri 'none'; form-action 'none'" if served else ""
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
    icon = '<link rel="icon" href="data:,">\n' if served else ""  # browsers ask the server for one otherwise
    ending = f"<script>{script}</script>\n" if script else ""
    attributes = f" {attributes}" if attributes else ""
    if config_yaml:
        body += (
            "<section><h2>Config</h2><details><summary>the resolved config</summary>"
            f"<pre>{escape(config_yaml)}</pre></details></section>"
        )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{icon}<title>{escape(title)}</title>\n<style>\n{shared}{style}</style>\n</head>\n"
        f"<body{attributes}>\n<main>\n<header><h1>{escape(title)}</h1>{details}</header>\n"
        f"{body}</main>\n{ending}</body>\n</html>\n"
    )


def write_page(path: Path, page: str) -> Path:
    """Write a page, so that a reader never sees half of it; makes the folder and returns ``path``."""
    write_whole(path, page.encode())
    return path
