"""Show captions with the images that a generator makes of them, beside the real ones."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from torch import Tensor

from datasets.text_image.dataset import CaptionedImages
from engine.context import Context
from engine.run_folder import RunFolder
from evaluation.frechet import to_uint8
from evaluation.report.parts.left_out_samples import left_out_metrics
from evaluation.report.parts.media import jpeg
from evaluation.report.retrieval import Report, write_report
from tasks.results import last_start

CURVES = ("train/", "validation/frechet_distance")
IN_REPORT = 16  # captions
EDGE = 160  # pixels of an image in the report


def real_images(batch: Mapping[str, Any], resolution: int, count: int) -> np.ndarray:
    """Return the first real images of a batch, (n, R, R, 3) uint8."""
    return to_uint8(batch[f"image_{resolution}"][:count]).permute(0, 2, 3, 1).cpu().numpy()


def captioned_grid(batch: Mapping[str, Any], images: Tensor, resolution: int, count: int) -> np.ndarray:
    """Return the real images of the first captions above the generated ones, (2 R, n R, 3) uint8."""
    made = images[:count].permute(0, 2, 3, 1).cpu().numpy()
    rows = [np.concatenate(list(part), axis=1) for part in (real_images(batch, resolution, count), made)]
    return np.concatenate(rows)


def write_generated_report(
    folder: RunFolder,
    context: Context,
    dataset: CaptionedImages,
    batch: Mapping[str, Any],
    images: Tensor,
    resolution: int,
    metrics: dict[str, float],
    protocol: str,
    left_out: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """Write ``report.html`` with the first captions of a split and their real and generated images.

    ``images`` (n, 3, R, R) uint8 are the generated ones. Returns the metrics with the samples that were left out.
    """
    made = images[:IN_REPORT].permute(0, 2, 3, 1).cpu().numpy()
    real = real_images(batch, resolution, IN_REPORT)
    rows = "".join(
        f"<tr><td>{escape(_caption(dataset, batch, row))}</td><td>{_tag(real[row])}</td><td>{_tag(made[row])}</td></tr>"
        for row in range(min(len(made), len(real)))
    )
    head = "<tr><th>caption</th><th>real</th><th>generated</th></tr>"
    table = f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    metrics = metrics | left_out_metrics(left_out)
    report = Report(
        title=f"{context.run_name}: images generated from captions",
        metrics=metrics,
        curves={name: points for name, points in folder.curves().items() if name.startswith(CURVES)},
        sections=[("Captions and images", table)],
        config_yaml=context.config_text,
        info={"config": context.name, "distance of": protocol, **last_start(folder)},
    )
    write_report(folder.path / "report.html", report)
    return metrics


def _caption(dataset: CaptionedImages, batch: Mapping[str, Any], row: int) -> str:
    return dataset.vocabulary.decode(batch["tokens"][row].tolist())


def _tag(image: np.ndarray) -> str:
    return f'<img src="{jpeg(image, EDGE)}" width="{EDGE}" height="{EDGE}" alt="">'
