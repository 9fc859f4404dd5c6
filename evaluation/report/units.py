"""Sections of a report about discrete units: utterances with their transcripts, and the words of each code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from evaluation.report.clusters import Snippet, snippets_html
from evaluation.report.parts.media import data_uri, flac
from evaluation.word_detection.detect import Detector

WORDS = 5  # shown of a code


@dataclass
class ShownUtterance:
    """An utterance with a figure of its transcripts."""

    name: str  # of the utterance
    text: str  # spoken in it, "" when unknown
    waveform: np.ndarray  # (N,) float in -1..1
    sample_rate: int  # Hz
    figures: list[tuple[str, Path]]  # SVG files, each with its caption


@dataclass
class CodeCard:
    """A code."""

    layer: str
    code: int  # number
    frames: int  # that have it
    words: list[Detector]  # that it detects, the best first
    snippets: list[Snippet] = field(default_factory=list)  # stretches of speech that it covers


def utterances_section(shown: Sequence[ShownUtterance]) -> str:
    """Return HTML of utterances, each with its sound and figures."""
    return "".join(
        f'<article class="choice"><p class="meta">{escape(one.name)}</p>'
        f'<p class="caption" dir="auto">{escape(one.text) or "<em>text unknown</em>"}</p>'
        f'<audio controls src="{flac(one.waveform, one.sample_rate)}"></audio>{_figures(one.figures)}</article>'
        for one in shown
    )


def no_utterances(reason: str) -> str:
    """Return HTML of a plain sentence in place of utterances."""
    return f'<p class="note">{escape(reason)}</p>'


def figures_section(figures: Sequence[tuple[str, Path]]) -> str:
    """Return HTML of SVG figures with captions, side by side where there is room."""
    return f'<div class="figures">{_figures(figures)}</div>'


def codes_section(cards: Sequence[CodeCard]) -> str:
    """Return HTML of codes, "" without any: the words that each detects, and stretches of speech that it covers."""
    return f'<div class="clusters">{"".join(map(_card, cards))}</div>' if cards else ""


def _figures(figures: Sequence[tuple[str, Path]]) -> str:
    return "".join(
        f'<figure class="drawn"><img src="{data_uri("image/svg+xml", path.read_bytes())}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, path in figures
    )


def _card(card: CodeCard) -> str:
    rows = "".join(
        f'<tr><td dir="auto">{escape(word.word)}</td><td>{word.f1:.2f}</td><td>{word.precision:.2f}</td>'
        f"<td>{word.recall:.2f}</td><td>{word.count} of {word.spoken}</td></tr>"
        for word in card.words[:WORDS]
    )
    head = "<tr><th>word</th><th>F1</th><th>precision</th><th>recall</th><th>occurrences</th></tr>"
    table = f'<div class="scroll"><table class="detected">{head}{rows}</table></div>'
    detected = table if rows else '<p class="meta">detects no word</p>'
    return (
        f'<article class="cluster"><h2>{escape(card.layer)}, code {card.code}</h2>'
        f'<p class="meta">{card.frames} frames</p>{detected}{snippets_html(card.snippets)}</article>'
    )
