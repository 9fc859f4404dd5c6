"""Line drawings as inline SVG, coloured by the page's style sheet."""

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from evaluation.numbers import number

WIDTH, HEIGHT = 320, 184
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 10, 38
MOST_POINTS = 300


def ticks(low: float, high: float, count: int = 4, whole: bool = False) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``, above it; only whole numbers where ``whole``."""
    raw = (high - low) / count
    if whole:
        raw = max(1.0, raw)
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [factor * power for factor in (1, 2, 2.5, 5, 10)]
    step = next(step for step in steps if step >= raw * 0.999 and (step.is_integer() or not whole))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the finite points (x, y) of ``points`` only, at most 300 of them, by averaging neighbours."""
    finite = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) <= MOST_POINTS:
        return finite
    return [tuple(part.mean(axis=0).tolist()) for part in np.array_split(np.array(finite), MOST_POINTS)]


def line_chart(
    name: str,
    points: Sequence[tuple[float, float]],
    x_label: str = "",
    percent: bool = False,
    rank: bool = False,
    marks: Mapping[int, str] = {},
) -> str:
    """Return HTML of one curve with axes, or of a note when there is nothing to draw.

    Args:
        name: of the values; also the accessible name.
        points: (step, value); values that are not finite are left out.
        x_label: of the steps.
        percent: whether the values are shares, shown in percent; no axis ends beyond 100 %.
        rank: whether they are ranks from 1 on, whose axis has whole numbers.
        marks: steps at which a vertical line stands, and what it is called; those that the axis lacks are left out.
    """
    kept = thinned([(x, 100 * y) for x, y in points] if percent else points)
    title, unit = escape(name), " %" if percent else ""
    if not kept:
        return f'<figure class="chart"><figcaption>{title}</figcaption><p class="note">no finite values</p></figure>'
    xs, ys = zip(*kept, strict=True)
    x_low, x_high = _span(min(xs), max(xs))
    y_low, y_high = _value_span(ys, percent, rank)

    def point_at(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM),
        )

    grid = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{number(value)}{unit}</text>'
        for value in ticks(y_low, y_high, whole=rank)
        for y in [point_at(x_low, value)[1]]
    )
    grid += "".join(
        f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{number(value)}</text>'
        for value in ticks(x_low, x_high)
        for x in [point_at(value, y_low)[0]]
    )
    middle = (LEFT + WIDTH - RIGHT) / 2
    grid += f'<text class="tick" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    grid += "".join(_mark(point_at(x, y_low)[0], label) for x, label in marks.items() if x_low < x < x_high)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point_at(*point) for point in kept))
    dots = "".join(
        f'<circle class="dot" cx="{point_at(x, y)[0]:.1f}" cy="{point_at(x, y)[1]:.1f}" '
        f'r="{3 if len(kept) > 1 else 4}">'
        f"<title>{number(x)}: {number(y)}{unit}</title></circle>"
        for x, y in (kept if len(kept) <= 60 else kept[-1:])
    )
    last = f"{number(kept[-1][1])}{unit}"
    return (
        f'<figure class="chart"><figcaption>{title} <span class="last">{last}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}, last value {last}">{grid}'
        f'<polyline class="curve" points="{path}"/>{dots}</svg></figure>'
    )


def _mark(x: float, label: str) -> str:
    """Return a vertical line at ``x`` with its label at its foot, towards the middle of the chart."""
    to_the_right = x < WIDTH / 2
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="tick" x="{x + (5 if to_the_right else -5):.1f}" y="{HEIGHT - BOTTOM - 6}" '
        f'text-anchor="{"start" if to_the_right else "end"}">{escape(label)}</text>'
    )


def _span(low: float, high: float) -> tuple[float, float]:
    """Return a range that is never empty."""
    if high - low > 1e-12 * max(1.0, abs(high)):
        return low, high
    return low - max(abs(low) * 0.05, 0.5), high + max(abs(high) * 0.05, 0.5)


def _value_span(values: Sequence[float], percent: bool, rank: bool) -> tuple[float, float]:
    """Return the range of the values' axis: from 0 where that is near, for ranks from one whole number to another."""
    low, high = min(values), max(values)
    if rank:
        low = 1.0 if 1 <= low < 0.6 * high else math.floor(low)
        return low, max(math.ceil(high), low + 1)
    if 0 < low < 0.6 * high:
        low = 0.0
    bottom, top = _span(low, high)
    if percent and low >= 0 and high <= 100:
        return max(0.0, bottom), min(100.0, top)
    return bottom, top


def similarity_curve(values: np.ndarray, words: Sequence[tuple[float, float, str]], seconds: float) -> str:
    """Draw the similarity (t,), 0-1, of the best region at each frame as a filled curve that stretches with its box.

    Each of the words, (start, end, word) in seconds, gets a band. The SVG has a view box of 1000 by 100.
    """
    t = len(values)
    at = (np.arange(t) + 0.5) / t * 1000
    heights = 96 - 90 * values
    points = [f"0,{heights[0]:.1f}", *(f"{x:.1f},{y:.1f}" for x, y in zip(at, heights, strict=True))]
    points.append(f"1000,{heights[-1]:.1f}")
    bands = "".join(
        f'<rect class="band" x="{1000 * start / seconds:.1f}" y="0" height="100" '
        f'width="{1000 * max(0.0, min(end, seconds) - start) / seconds:.1f}"><title>{escape(word)}</title></rect>'
        for start, end, word in words
        if start < seconds
    )
    return (
        f'<svg class="over-time" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">{bands}'
        f'<polygon class="area" points="0,100 {" ".join(points)} 1000,100"/>'
        f'<polyline class="curve" points="{" ".join(points)}"/></svg>'
    )
