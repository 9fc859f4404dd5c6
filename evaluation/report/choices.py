"""Section of a report about choices: a caption with its candidates."""

from collections.abc import Sequence
from html import escape

import numpy as np

from evaluation.choices import Choice
from evaluation.report.parts.media import flac, jpeg

THUMBNAIL = 160  # pixels of an image


def choices_section(choices: Sequence[Choice], lead: str = "") -> str:
    """Return HTML of the choices with images: the caption with its sound, and its candidates, the best first.

    A plain text ``lead`` stands above them.
    """
    cards = "".join(_card(choice) for choice in choices if choice.images)
    return (f"<p>{escape(lead)}</p>" if lead else "") + cards


def _card(choice: Choice) -> str:
    sound = f'<audio controls src="{flac(choice.waveform, 16000)}"></audio>' if choice.waveform is not None else ""
    labels = ["its own image", *choice.labels, *[""] * len(choice.scores)]
    items = "".join(
        f'<li class="{"correct" if index == 0 else "other"}">'
        f'<img src="{jpeg(choice.images[index], THUMBNAIL)}" alt="">'
        f'<span class="text">{escape(labels[index])}</span><span class="score">{choice.scores[index]:.4g}</span></li>'
        for index in np.argsort(-choice.scores, kind="stable")
    )
    grade = "hit" if choice.rank == 0 else "miss"
    return (
        f'<article class="choice"><p class="meta"><strong class="rank {grade}">rank {choice.rank + 1} of '
        f"{len(choice.scores)}</strong> {escape(choice.name)}</p>"
        f'<p class="caption" dir="auto">{escape(choice.text)}</p>'
        f'{sound}<ol class="answers images">{items}</ol></article>'
    )
