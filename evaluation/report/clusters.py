"""One page about clusters of feature units: their words, image regions and sounds to listen to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.report.parts.media import flac, jpeg, outline
from evaluation.report.parts.page import document, write_page

EDGE = 120  # pixels of an image
LIMIT_BYTES = 24_000_000  # of all sounds on the page


@dataclass
class Region:
    """An image and where in it a cluster responds."""

    image_u8: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray  # (h, w) bool, of any size, where a cluster responds
    text: str = ""  # the caption, shown when the pointer rests on it


@dataclass
class Snippet:
    """A piece of speech."""

    waveform: np.ndarray  # (n,) float in -1..1
    sample_rate: int  # Hz
    word: str = ""  # spoken in it, or ""
    text: str = ""  # the caption that it is from


@dataclass
class ClusterCard:
    """Show one cluster; regions and snippets are in the order of their strength."""

    name: str  # heading
    units: int  # number of feature units
    words: list[tuple[str, int, float]] = field(default_factory=list)  # (word, count among the strongest frames, lift)
    regions: list[Region] = field(default_factory=list)
    snippets: list[Snippet] = field(default_factory=list)


def write_clusters_report(path: Path, title: str, cards: Sequence[ClusterCard], lead: str = "") -> Path:
    """Write the page with a heading ``title`` and a plain text ``lead``.

    Returns ``path``, whose folder is made if missing.
    """
    room = LIMIT_BYTES
    shown = []
    for card in cards:
        sounds = snippets_html(card.snippets)
        if len(sounds) > room:
            sounds = '<p class="note">sounds left out to keep this file small</p>' if card.snippets else ""
        room -= len(sounds)
        shown.append(_card(card, sounds))
    body = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    body += f'<section class="clusters">{"".join(shown)}</section>' if shown else '<p class="lead">No clusters.</p>'
    return write_page(path, document(title, body))


def pages_section(lead: str, pages: Mapping[str, str]) -> str:
    """Return HTML of a plain text ``lead`` and links to pages about clusters: titles by address."""
    links = " · ".join(f'<a href="{escape(page)}">{escape(title)}</a>' for page, title in pages.items())
    return f"<p>{escape(lead)}</p><p>Their image regions and pieces of speech: {links}</p>"


def lit(image_u8: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Darken an image (H, W, 3) uint8 outside a mask (h, w) bool and outline it: (120, 120, 3) uint8."""
    image = np.asarray(Image.fromarray(image_u8).resize((EDGE, EDGE), Image.Resampling.BICUBIC), np.float32)
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
    inside = np.asarray(soft) > 127
    result = np.where(inside[..., None], image, image * 0.42)
    result[outline(inside)] = (255, 170, 20)
    return result.clip(0, 255).astype(np.uint8)


def _card(card: ClusterCard, sounds: str) -> str:
    words = ", ".join(f"{escape(word)} ({count}, {lift:.1f}×)" for word, count, lift in card.words[:6])
    images = "".join(
        f'<img src="{jpeg(lit(region.image_u8, region.mask), EDGE)}" alt="" title="{escape(region.text)}">'
        for region in card.regions
    )
    return (
        f'<article class="cluster"><h2 dir="auto">{escape(card.name)}</h2>'
        f'<p class="meta">{card.units} units{" · " + words if words else ""}</p>'
        f'<div class="regions">{images}</div>{sounds}</article>'
    )


def snippets_html(snippets: Sequence[Snippet]) -> str:
    """Return HTML of pieces of speech, each with its word and a player; nothing without any."""
    rows = "".join(
        f'<span dir="auto" title="{escape(snippet.text)}">{escape(snippet.word) or "–"}</span>'
        f'<audio controls preload="metadata" src="{flac(snippet.waveform, snippet.sample_rate)}"></audio>'
        for snippet in snippets
    )
    return f'<div class="snippets">{rows}</div>' if rows else ""
