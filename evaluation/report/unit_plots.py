"""Figures of discrete units: transcripts stacked above a spectrogram, and the words that codes find.

After the figures of wnhsu/ResDAVEnet-VQ (``steps/plot.py``, ``run_evaluations.ipynb``). Figures are matplotlib's, made
without a display; :func:`save` writes them as PNG and SVG.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.errors import UserError
from common.files import write_together

WINDOW_SECONDS, HOP_SECONDS, FFT = 0.005, 0.002, 1024  # a wide band, which shows phones; as published
RANGE_DB = 70.0  # below the loudest cell everything is white
TIER_INCHES, TOP_INCHES, SPECTROGRAM_INCHES = 0.34, 0.15, 2.4
CHARACTER_INCHES = 0.085  # of a label, to estimate whether it fits
MARKERS, LINES = "osD^v", ("-", "--", ":", "-.")  # one for each round of colours
COLOURS = ("#1f5fa8", "#b3401c", "#2a7d4f", "#7a4fa3", "#8a6d00", "#00798c")  # dark enough on white
TOP_WORDS = 250
DPI = 150


class Tier(NamedTuple):
    """One transcript of an utterance."""

    name: str  # shown beside it, such as ``words`` or ``quant2``
    segments: Sequence[tuple[float, float, str | int]]  # (start, end, word, phone or code) in seconds, in order


def transcripts(
    waveform: np.ndarray,
    sample_rate: int,
    tiers: Sequence[Tier],
    start: float = 0.0,
    end: float | None = None,
    width: float = 12.0,
) -> Figure:
    """Draw the spectrogram of (a part of) an utterance with its transcripts stacked above, the first at the bottom.

    Args:
        waveform: (N,) float.
        sample_rate: Hz.
        tiers: transcripts; a label that has no room is left out, its borders stay.
        start: of the part, in seconds.
        end: of the part, in seconds; the utterance's end when None.
        width: of the figure, in inches.

    Raises:
        UserError: the part has no length, or lies outside the utterance.
    """
    whole = len(waveform) / sample_rate
    end = whole if end is None else min(end, whole)
    if not 0 <= start < end:
        raise UserError(
            f"found a part from {start:g} to {end:g} s of an utterance of {whole:.2f} s; expected some of it"
        )
    heights = [TIER_INCHES] * len(tiers) + [SPECTROGRAM_INCHES]
    figure = Figure((width, sum(heights) + TOP_INCHES + 0.5), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for number, tier in enumerate(tiers):
        colour = COLOURS[number % len(COLOURS)]
        _draw_tier(axes[len(tiers) - 1 - number], tier, start, end, width, colour)
    _draw_spectrogram(axes[-1], waveform, sample_rate, start, end)
    return figure


def _draw_tier(axes: Axes, tier: Tier, start: float, end: float, width: float, colour: str) -> None:
    room = (width - 1.2) / (end - start)  # inches for a second
    for first, last, label in tier.segments:
        if last <= start or first >= end:
            continue
        axes.axvspan(first, last, facecolor=colour, alpha=0.08, edgecolor="none")
        axes.axvline(first, color=colour, linewidth=0.7)
        axes.axvline(last, color=colour, linewidth=0.7)
        left, right = max(first, start), min(last, end)
        if (right - left) * room >= CHARACTER_INCHES * len(str(label)):
            axes.text(
                (left + right) / 2, 0.5, str(label), ha="center", va="center", fontsize=8, color=colour, clip_on=True
            )
    axes.set(ylim=(0, 1), yticks=[], xlim=(start, end))
    axes.set_ylabel(tier.name, rotation=0, ha="right", va="center", fontsize=8, color=colour)
    axes.tick_params(bottom=False)
    axes.spines[["top", "bottom"]].set_visible(False)


def _draw_spectrogram(axes: Axes, waveform: np.ndarray, sample_rate: int, start: float, end: float) -> None:
    first, last = round(start * sample_rate), round(end * sample_rate)
    window = np.hamming(max(2, round(WINDOW_SECONDS * sample_rate)))
    hop = max(1, round(HOP_SECONDS * sample_rate))
    from scipy.signal import ShortTimeFFT

    transform = ShortTimeFFT(window, hop, sample_rate, mfft=max(FFT, len(window)))
    part = np.asarray(waveform[first:last], dtype=np.float64)
    part = np.pad(part, (0, max(0, len(window) - len(part))))
    power = np.abs(transform.stft(part)) ** 2
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    loudest = float(decibels.max())
    left, right, low, high = transform.extent(len(part))
    axes.imshow(
        decibels, origin="lower", aspect="auto", cmap="gray_r", vmin=loudest - RANGE_DB, vmax=loudest,
        extent=(left + start, right + start, low, high), interpolation="nearest",
    )  # fmt: skip
    axes.set(xlim=(start, end), ylim=(0, sample_rate / 2), xlabel="seconds", ylabel="Hz")


def precision_recall(
    models: Mapping[str, Sequence[tuple[float, float, float]]], top: int = TOP_WORDS, axes: Axes | None = None
) -> Figure:
    """Scatter precision against recall of the words that codes find best, several models or layers in one figure.

    ``models`` are by name, for each word the (F1, precision, recall) of its best code, of which the ``top`` of the
    highest F1 are shown. The figure is its own where ``axes`` is None.
    """
    axes = Figure((5, 5), dpi=DPI, layout="constrained").subplots() if axes is None else axes
    for f1 in (0.2, 0.4, 0.6, 0.8):  # lines of equal F1, which say at a glance how good a point is
        recall = np.linspace(f1 / (2 - f1), 1, 100)
        axes.plot(f1 * recall / (2 * recall - f1), recall, color="0.8", linewidth=0.7, zorder=0)
        axes.annotate(f"F1 {f1:g}", (1, f1 / (2 - f1)), xytext=(-3, 2), textcoords="offset points", ha="right",
                      fontsize=7, color="0.5")  # fmt: skip
    for number, (name, words) in enumerate(models.items()):
        best = sorted(words, reverse=True)[:top]
        points = np.array([word[1:] for word in best]).reshape(-1, 2)
        colour = COLOURS[number % len(COLOURS)]
        marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
        axes.scatter(
            points[:, 0], points[:, 1], s=16, alpha=0.5, marker=marker, label=f"{name}, n = {len(best)}", color=colour,
            clip_on=False, zorder=3,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="precision", ylabel="recall", title=f"Words of highest F1, {top} at most")
    axes.legend(loc="lower left", fontsize=8)
    return axes.figure


def words_above(models: Mapping[str, Sequence[float]], axes: Axes | None = None) -> Figure:
    """Draw how many words have an F1 of at least a threshold, for every threshold, several models in one figure.

    ``models`` are by name, the F1 of each word's best code. The figure is its own where ``axes`` is None.
    """
    axes = Figure((5, 5), dpi=DPI, layout="constrained").subplots() if axes is None else axes
    thresholds = np.linspace(0, 1, 201)
    for number, (name, scores) in enumerate(models.items()):
        ordered = np.sort(np.asarray(scores, dtype=float))
        counts = len(ordered) - np.searchsorted(ordered, thresholds, side="left")
        shown = np.where(counts > 0, counts, np.nan)  # a logarithmic axis has no zero
        line = LINES[number // len(COLOURS) % len(LINES)]
        axes.step(thresholds, shown, line, where="post", label=name, color=COLOURS[number % len(COLOURS)])
    axes.set(xlim=(0, 1), yscale="log", xlabel="F1 at least", ylabel="words", title="Words above an F1")
    axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%d"))
    axes.legend(loc="lower left", fontsize=8)
    return axes.figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG, ``stem`` with either ending; the same figure gives the same files."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    files = [io.BytesIO(), io.BytesIO()]
    with matplotlib.rc_context({"svg.hashsalt": "drawl", "svg.fonttype": "none"}):
        figure.savefig(files[0], format="png")
        figure.savefig(files[1], format="svg", metadata={"Date": None})
    write_together({path: file.getvalue() for path, file in zip(paths, files, strict=True)})
    return paths
