"""One query of the report as HTML: image, sound, caption, match map, retrieved items."""

from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from evaluation.numbers import number
from evaluation.report.parts.content import Query, Retrieved
from evaluation.report.parts.labels import WIDTHS, function_words, grade, rows_of_words
from evaluation.report.parts.media import LINE, LONGEST_SECONDS, flac, jpeg, normalised, overlay, sprite
from evaluation.report.parts.plots import similarity_curve

TIME_SPANS = 6
STAGE, THUMBNAIL, SPAN_EDGE = 288, 96, 132  # longest edges in pixels
LITTLE = "little"  # class of what says little of an image
SHOWN = 5  # retrieved items; further ones are folded


def card(query: Query, total: int | None, with_sound: bool = True) -> str:
    """Return HTML of one query, of ``total`` candidates, None when unknown; without sound it has far fewer bytes."""
    heat = normalised(query.matchmap)
    words = [word for word in query.words or [] if word[2].strip() and word[1] > word[0]]
    spoken = query.direction == "speech_to_image"
    asked = (
        "asked with the caption, looking for the image" if spoken else "asked with the image, looking for the caption"
    )
    rank = f"rank {query.rank + 1}" + (f" of {total}" if total else "")
    return (
        f'<article class="query"><div class="left">{_stage(query, heat)}'
        f"{_legend() if query.seconds is None else _player(query, heat, with_sound)}</div>"
        f'<div class="right"><p class="meta"><strong class="rank {grade(query.rank)}">{rank}</strong> '
        f'{asked}</p><p class="caption" dir="auto">{escape(query.text) or "<em>no written caption</em>"}</p>'
        f"{_cut(query)}{_timeline(query, words)}{_time_spans(query, heat, words)}{_answers(query.retrieved, spoken)}"
        f"</div></article>"
    )


def _stage(query: Query, heat: np.ndarray) -> str:
    """Return the image under a canvas on which the script draws the frame that belongs to the time."""
    h, w, t = heat.shape
    height, width = query.image_u8.shape[:2]
    return (
        f'<div class="stage" style="aspect-ratio:{width}/{height}">'
        f'<img src="{jpeg(query.image_u8, STAGE)}" alt="image of this pair">'
        f'<canvas data-sprite="{sprite(heat)}" data-h="{h}" data-w="{w}" data-t="{t}" '
        f'data-peak="{int(heat.max(axis=(0, 1)).argmax())}"></canvas></div>'
    )


def _player(query: Query, heat: np.ndarray, with_sound: bool) -> str:
    """Return play button, time slider and heat switch; the browser's own controls where scripts do not run."""
    sound, note = "", ""
    if query.waveform is not None and with_sound:
        spoken = query.waveform[: None if query.whole_seconds is None else round(query.seconds * query.sample_rate)]
        sound = f'<audio controls preload="auto" src="{flac(spoken, query.sample_rate)}"></audio>'
        if len(spoken) > LONGEST_SECONDS * query.sample_rate:
            note = f'<p class="note">sound cut after {LONGEST_SECONDS:.0f} s</p>'
    elif query.waveform is not None:
        note = '<p class="note">sound left out to keep this file small</p>'
    step = query.seconds / heat.shape[2]
    play = '<button type="button" class="play" aria-label="play the caption"></button>' if sound else ""
    return (
        f'{sound}<div class="player">{play}<input type="range" class="time" min="0" max="{query.seconds:.3f}" '
        f'step="{min(step, 0.02):.4f}" value="0" aria-label="frame of the caption in seconds">'
        f'<output class="clock">0.0 s</output>'
        f'<label class="switch"><input type="checkbox" class="heat" checked> regions</label></div>{_legend()}{note}'
    )


def _legend() -> str:
    return (
        f'<p class="legend" title="the line runs at {100 * LINE:.0f} % of the range of this pair&#39;s similarities">'
        '<span><i class="dim"></i>darkened: low similarity to this frame</span>'
        '<span><i class="line"></i>outlined: the highest</span></p>'
    )


def _cut(query: Query) -> str:
    """Return a note on the end of a caption that the model was not given, if any."""
    if query.whole_seconds is None:
        return ""
    lost = " ".join(word for start, _, word in query.words or [] if start >= query.seconds)
    return (
        f'<p class="note cut">The caption is cut: the model reads the first {query.seconds:.1f} s of '
        f"{query.whole_seconds:.1f} s (max_frames)"
        + (f', not <q dir="auto">{escape(lost)}</q>' if lost else "")
        + ".</p>"
    )


def _timeline(query: Query, words: list[tuple[float, float, str]]) -> str:
    """Return the similarity of the best region over time, with the words below it; nothing where there is no time."""
    if query.seconds is None:
        return ""
    seconds, best = query.seconds, normalised(query.matchmap, clip=0).max(axis=(0, 1))
    little = function_words([word for _, _, word in words])
    spoken = [pair for pair in zip(words, little, strict=True) if pair[0][0] < seconds]
    shown = [word for word, _ in spoken]
    wide, narrow = (rows_of_words(shown, seconds, width) for width in WIDTHS)
    labels = "".join(
        f'<span class="{_hidden(at.row, "wide")}{_hidden(slim.row, "narrow")}{LITTLE * says_little}" '
        f'style="--x:{at.left:.2f}%;--y:{at.row or 0};--slim-x:{slim.left:.2f}%;--slim-y:{slim.row or 0}" '
        f'data-start="{start:.3f}" data-end="{end:.3f}" title="{start:.2f}–{end:.2f} s" dir="auto">'
        f"{escape(word)}</span>"
        for ((start, end, word), says_little), at, slim in zip(spoken, wide, narrow, strict=True)
    )
    lines = (1 + max((position.row or 0 for position in positions), default=0) for positions in (wide, narrow))
    style = "--rows:{};--slim-rows:{}".format(*lines)
    line = f'<div class="words" style="{style}">{labels}</div>' if labels else ""
    return (
        '<div class="timeline"><p class="label">similarity of the best region at each frame, '
        "from the lowest of this pair (bottom) to its highest (top)</p>"
        f'<div class="plot" data-seconds="{seconds:.4f}">{similarity_curve(best, shown, seconds)}'
        f'<i class="cursor"></i></div><div class="ends"><span>0 s</span><span>{seconds:.1f} s</span></div>{line}</div>'
    )


def _hidden(row: int | None, screen: str) -> str:
    """Return the class of a label that has no room on a screen; the mark of its word in the curve still names it."""
    return f"not-{screen} " if row is None else ""


class TimeSpan(NamedTuple):
    """A part of a caption, and the regions that respond to it."""

    start: float  # seconds, or frames where there is no time
    end: float
    word: str  # "" without words
    heat: np.ndarray  # mean map (h, w), 0-1
    says_little: bool  # it is a function word


def time_spans(heat: np.ndarray, words: list[tuple[float, float, str]], seconds: float) -> list[TimeSpan]:
    """Return up to six time spans of a caption of highest similarity, in spoken order.

    With words, (start, end, word) in seconds, these are the ones for which one region stands out most from the whole
    image, function words such as "and" after all others; without, equal parts. ``heat`` (h, w, t) is 0-1, and
    ``seconds`` is the length of the t frames, or t where words are counted in frames.
    """
    t = heat.shape[2]
    little = function_words([word for _, _, word in words])
    spans = [(*word, flag) for word, flag in zip(words, little, strict=True) if word[0] < seconds]
    if not spans:
        edges = np.linspace(0, seconds, min(TIME_SPANS, t) + 1)
        spans = [(float(a), float(b), "", False) for a, b in pairwise(edges)]
    found = []
    for start, end, word, says_little in spans:
        first = min(int(start / seconds * t), t - 1)
        last = max(first + 1, round(min(end, seconds) / seconds * t))
        found.append(TimeSpan(start, min(end, seconds), word, heat[:, :, first:last].mean(axis=2), says_little))
    strongest = sorted(found, key=lambda span: (span.says_little, float(span.heat.mean() - span.heat.max())))
    return sorted(strongest[:TIME_SPANS], key=lambda span: span.start)


def _time_spans(query: Query, heat: np.ndarray, words: list[tuple[float, float, str]]) -> str:
    length = heat.shape[2] if query.seconds is None else query.seconds
    unit = "words" if query.seconds is None else "s"
    spans = time_spans(heat, words, length)
    frames = "".join(
        f'<figure class="{LITTLE * span.says_little}">'
        f'<img src="{jpeg(overlay(query.image_u8, span.heat, SPAN_EDGE), SPAN_EDGE)}" alt="">'
        f'<figcaption dir="auto">{escape(span.word) or f"{span.start:.1f}–{span.end:.1f} {unit}"}</figcaption></figure>'
        for span in spans
    )
    label = "the words of highest similarity, and where" if words else "which region responds at which time"
    label += "; function words are pale" if any(span.says_little for span in spans) else ""
    return f'<p class="label">{label}</p><div class="moments">{frames}</div>'


def _answers(answers: list[Retrieved], spoken: bool) -> str:
    """Return the retrieved items, best first: images for a caption, captions for an image."""
    if not answers:
        return ""
    items = [
        f'<li class="{"correct" if answer.correct else "other"}">'
        + ("" if answer.image_u8 is None else f'<img src="{jpeg(answer.image_u8, THUMBNAIL)}" alt="">')
        + f'<span class="text" dir="auto" title="{escape(answer.text)}">{escape(answer.text)}</span>'
        f'<span class="score">{"✓ match · " if answer.correct else ""}similarity {number(answer.score)}</span></li>'
        for answer in answers
    ]
    label = "images found, best first" if spoken else "captions found, best first (with their own images)"
    kind = "images" if spoken else "captions"
    html = f'<p class="label">{label}</p><ol class="answers {kind}">{"".join(items[:SHOWN])}</ol>'
    if len(items) > SHOWN:
        html += (
            f"<details><summary>{len(items) - SHOWN} more</summary>"
            f'<ol class="answers {kind}" start="{SHOWN + 1}">{"".join(items[SHOWN:])}</ol></details>'
        )
    return html
