"""One page about clusters of feature units: their words, image regions and sounds to listen to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.report.parts.media import flac, jpeg
from evaluation.report.parts.page import document, write_page

EDGE = 120  # pixels of an image
LIMIT_BYTES = 24_000_000  # of all sounds on the page


@dataclass
class Region:
    """An image and where in it a cluster responds.

    Attributes:
        image_u8: (H, W, 3) uint8.
        mask: (h, w) bool, of any size.
        text: The caption, shown when the pointer rests on it.
    """

    image_u8: np.ndarray
    mask: np.ndarray
    text: str = ""


@dataclass
class Snippet:
    """A piece of speech.

    Attributes:
        waveform: (n,) float in -1..1.
        sample_rate: Hz.
        word: Spoken in it, or "".
        text: The caption that it is from.
    """

    waveform: np.ndarray
    sample_rate: int
    word: str = ""
    text: str = ""


@dataclass
class ClusterCard:
    """One cluster.

    Attributes:
        name: Heading.
        units: Number of feature units.
        words: (word, count among the strongest frames, lift).
        regions: Strongest first.
        snippets: Strongest first.
    """

    name: str
    units: int
    words: list[tuple[str, int, float]] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    snippets: list[Snippet] = field(default_factory=list)


def write_clusters_report(path: Path, title: str, cards: Sequence[ClusterCard], lead: str = "") -> Path:
    """Write the page.

    Args:
        path: The file; its folder is made if missing.
        title: Heading.
        cards: In the order in which they are shown.
        lead: What the reader should know first, plain text.

    Returns:
        ``path``.
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


def lit(image_u8: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Darken an image outside a mask and outline it.

    Args:
        image_u8: (H, W, 3) uint8.
        mask: (h, w) bool.

    Returns:
        (120, 120, 3) uint8.
    """
    image = np.asarray(Image.fromarray(image_u8).resize((EDGE, EDGE), Image.Resampling.BICUBIC), np.float32)
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
    inside = np.asarray(soft) > 127
    edge = inside ^ (inside & _shifted(inside))
    result = np.where(inside[..., None], image, image * 0.42)
    result[edge] = (255, 170, 20)
    return result.clip(0, 255).astype(np.uint8)


def _shifted(inside: np.ndarray) -> np.ndarray:
    """Cells whose four neighbours are all inside; beyond the border counts as inside."""
    padded = np.pad(inside, 1, constant_values=True)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


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
    """Show pieces of speech, each with its word and a player.

    Args:
        snippets: in this order.

    Returns:
        HTML; nothing without any.
    """
    rows = "".join(
        f'<span dir="auto" title="{escape(snippet.text)}">{escape(snippet.word) or "–"}</span>'
        f'<audio controls preload="metadata" src="{flac(snippet.waveform, snippet.sample_rate)}"></audio>'
        for snippet in snippets
    )
    return f'<div class="snippets">{rows}</div>' if rows else ""
