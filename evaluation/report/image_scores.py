"""Tables of what was measured of generated images, for the terminal and for a report, each figure with its protocol."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from evaluation.attribute_accuracy import AttributeAccuracy
from evaluation.image_metrics import ImageMetrics
from evaluation.numbers import number
from evaluation.r_precision import RPrecision, Verdict
from evaluation.report.parts.media import jpeg

EDGE = 128  # pixels of an image in the report
NAMES = {
    "fid": "FID",
    "kid": "KID",
    "inception_score": "inception score",
    "colour_and_shape": "colour and shape",
    "all": "all that is asked for",
    "number": "number of objects",
}
UNABLE = "cannot distinguish true pairs from permuted ones, so that it says nothing"


@dataclass(frozen=True)
class Table:
    """A table with the protocol that its figures share."""

    heading: str
    protocol: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it as lines for the terminal."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
        return "\n".join([f"{self.heading}: {self.protocol}", *(f"  {line.rstrip()}" for line in padded)])

    def markdown(self) -> str:
        """Return it as Markdown, without its heading."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join([self.protocol, "", *(f"| {' | '.join(line)} |" for line in lines)])

    def html(self) -> str:
        """Return it as HTML, without its heading."""
        return f'<p class="lead">{escape(self.protocol)}</p>' + _html(
            self.head, ([*map(escape, row)] for row in self.rows)
        )


class ShownImage(NamedTuple):
    """A generated image to look at."""

    caption: str
    generated: np.ndarray  # (R, R, 3) uint8
    real: np.ndarray | None  # the real image that its file is named for
    note: str = ""


def metrics_table(name: str, metrics: ImageMetrics) -> Table:
    """Return the figures of one feature network."""
    rows = [
        (NAMES.get(key, key), _with_std(one.value, one.std), f"{one.better} is better", one.protocol)
        for key, one in metrics.figures.items()
    ]
    return Table(f"Images by {name}", metrics.protocol, ("figure", "value", "", "protocol"), rows)


def judges_table(verdicts: Mapping[str, Verdict]) -> Table:
    """Return the R-precision of generated images by each judge, beside that of real ones; at least one judge."""
    one = next(iter(verdicts.values()))
    settings = one.generated.settings
    protocol = (
        f"the own caption among {settings.wrong} of other classes, cosine of sentence and image, "
        f"{one.generated.images} generated and {one.real.images} real images, {settings.folds} folds, seed "
        f"{settings.seed}{', draws, ties and folds as DM-GAN has them' if settings.published else ''}; chance "
        f"{_percent(one.generated.chance)}"
    )
    rows = [
        (name, _share(found.real), _share(found.permuted), _share(found.generated), _of_real(found))
        if found.able
        else (name, _share(found.real), _share(found.permuted), "–", UNABLE)
        for name, found in verdicts.items()
    ]
    head = ("judge", "real pairs", "permuted pairs", "generated", "generated of real")
    return Table("R-precision", protocol, head, rows)


def objects_table(accuracies: Mapping[str, AttributeAccuracy], protocol: str) -> Table:
    """Return the shares of objects that are there as asked for, a column for each of ``accuracies``."""
    names = list(next(iter(accuracies.values())).metrics())
    rows = [
        (
            NAMES.get(name, name),
            *(_percent(one.metrics()[name]) if name in one.metrics() else "–" for one in accuracies.values()),
        )
        for name in names
    ]
    return Table("Objects that are there as asked for", protocol, ("right", *accuracies), rows)


def shown_images_html(images: Sequence[ShownImage]) -> str:
    """Return HTML of generated images, beside the real ones that they are named for where there are any."""
    real = any(one.real is not None for one in images)
    head = ("generated", *(["real"] if real else []), "caption")
    rows = ([_tag(one.generated), *([_tag(one.real)] if real else []), _words(one)] for one in images)
    return _html(head, rows)


def _words(one: ShownImage) -> str:
    note = f'<br><small style="color:var(--soft)">{escape(one.note)}</small>' if one.note else ""
    return f'<div style="white-space:normal">{escape(one.caption)}{note}</div>'


def _html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>" for first, *rest in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _tag(image: np.ndarray | None) -> str:
    return "–" if image is None else f'<img src="{jpeg(image, EDGE)}" width="{EDGE}" alt="">'


def _with_std(value: float, std: float | None) -> str:
    return number(value) if std is None else f"{number(value)} ± {number(std)}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _share(one: RPrecision) -> str:
    return f"{100 * one.mean:.1f} ± {100 * one.std:.1f} %"


def _of_real(found: Verdict) -> str:
    return _percent(found.generated.mean / found.real.mean)
