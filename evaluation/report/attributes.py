"""Section of a report about the accuracy of repeated words."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from evaluation.report.parts.media import jpeg


def attributes_section(rows: list[list], examples: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Return HTML of the table, each word with its images (R, R, 3) uint8 of highest similarity, the best first."""
    body = ""
    for kind, word, value, pairs in rows:
        images = "".join(f'<img src="{jpeg(image, 64)}" width="56" alt=""> ' for image in examples.get(word, ()))
        shown = f"{100 * value:.1f} %" if pairs else "–"
        body += (
            f"<tr><td>{escape(kind)}</td><th scope='row'>{escape(word)}</th><td>{shown}</td><td>{pairs}</td>"
            f"<td>{images}</td></tr>"
        )
    return (
        '<p class="lead">How often an image with the attribute scores higher than one without; chance is 50 %.</p>'
        '<div class="scroll"><table><thead><tr><th>kind</th><th>word</th><th>accuracy</th><th>pairs</th>'
        f"<th>images of highest similarity</th></tr></thead><tbody>{body}</tbody></table></div>"
    )
