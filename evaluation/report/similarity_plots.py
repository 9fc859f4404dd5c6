"""Figures of similarities and distances: densities, two measures against each other, confusion of each class.

After those of smatsumori/LatteGAN (``src/scripts/pretrain_tirg.py``, ``src/utils/plotter.py``), which needs seaborn and
scikit-learn for them.
"""

import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure

from evaluation.report.parts.media import data_uri

COLOURS = ("#1f5fa8", "#b3401c", "#2a7d4f", "#7a4fa3")
DPI = 110
POINTS = 200  # of a density
BINS = 30
SPREAD = 1e-6  # standard deviation at which all values count as one
COLUMNS = 8  # classes beside each other


def densities(values: Mapping[str, np.ndarray], label: str) -> Figure:
    """Draw the density of several sets of numbers (n,), by Gaussian kernels (Scott's rule); a line where all are one.

    Args:
        values: by name, such as ``right`` and ``wrong``.
        label: of what they are.
    """
    from scipy.stats import gaussian_kde  # here: its import takes a second, and a config check needs none of it

    figure = Figure((7, 2.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    everything = np.concatenate([np.asarray(one, float) for one in values.values()])
    margin = 0.1 * max(float(np.ptp(everything)), 0.1)
    grid = np.linspace(everything.min() - margin, everything.max() + margin, POINTS)
    for (name, one), colour in zip(values.items(), COLOURS * len(values), strict=False):
        if len(one) < 2 or np.std(one) < SPREAD:
            axes.axvline(float(np.mean(one)), color=colour, label=name)
            continue
        density = gaussian_kde(one)(grid)
        axes.plot(grid, density, color=colour, label=name)
        axes.fill_between(grid, density, color=colour, alpha=0.15)
    axes.set(xlabel=label, ylabel="density", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def joint(x: np.ndarray, y: np.ndarray, names: tuple[str, str], equal: bool = False) -> Figure:
    """Draw one measure (n,) against another, with a histogram of each beside; ``equal`` scales have a diagonal.

    Args:
        x: of the horizontal axis.
        y: of the vertical one.
        names: of both.
        equal: whether both begin at 0 and end at the same number.
    """
    figure = Figure((4.4, 4.4), dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4))
    middle = figure.add_subplot(grid[1, 0])
    above, beside = figure.add_subplot(grid[0, 0], sharex=middle), figure.add_subplot(grid[1, 1], sharey=middle)
    middle.plot(x, y, "+", color=COLOURS[0], alpha=0.6, markersize=5)
    middle.set(xlabel=names[0], ylabel=names[1])
    if equal:
        most = 1.05 * max(float(np.max(x)), float(np.max(y)), SPREAD)
        middle.set(xlim=(0, most), ylim=(0, most))
        middle.plot((0, most), (0, most), ":", color="black")
    above.hist(x, BINS, color=COLOURS[0])
    beside.hist(y, BINS, color=COLOURS[0], orientation="horizontal")
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    return figure


def confusions(classes: Sequence[str], cells: np.ndarray) -> Figure:
    """Draw the counts of images of each class (K, 2, 2): rows are whether it is there, columns whether it is found."""
    columns = min(COLUMNS, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure((1.45 * columns, 1.6 * rows), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(classes) :]:
        axes.set_axis_off()
    for number, (axes, name, own) in enumerate(zip(grid, classes, cells, strict=False)):
        axes.imshow(own, cmap="Blues", vmin=0, vmax=max(int(cells.max()), 1))
        dark = own > cells.max() / 2
        for there, found in np.ndindex(2, 2):
            colour = "white" if dark[there, found] else "black"
            axes.text(found, there, str(own[there, found]), ha="center", va="center", color=colour, fontsize=8)
        axes.set_title(name, fontsize=8)
        axes.set_xticks((0, 1), ("no", "found"), fontsize=7)
        axes.set_yticks((0, 1), ("no", "there") if number % columns == 0 else ("", ""), fontsize=7)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def figure_html(figure: Figure, text: str) -> str:
    """Return a figure as HTML; ``text`` says what it shows."""
    image = f'<img src="{data_uri("image/png", png(figure))}" alt="" style="max-width: 100%">'
    return f'<figure>{image}<figcaption class="note">{escape(text)}</figcaption></figure>'
