"""Dialogues that were drawn turn by turn, beside the true ones, as one image and as HTML.

Shape letters: L turns, R height and width of the images, H, W of a gate.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image

from evaluation.report.parts.media import jpeg

EDGE = 128  # pixels of an image in HTML
GAP = 4  # pixels between dialogues
WHITE = 255


class DrawnDialogue(NamedTuple):
    """One dialogue of L turns."""

    texts: Sequence[str]
    truth: np.ndarray  # (L, R, R, 3) uint8
    images: np.ndarray  # (L, R, R, 3) uint8
    gates: np.ndarray | None  # (L, H, W) in 0-1, high where nothing changes


def gate_images(dialogue: DrawnDialogue) -> np.ndarray | None:
    """Return the gates as grey images (L, R, R, 3) uint8, None where there are none."""
    if dialogue.gates is None:
        return None
    size = dialogue.images.shape[1:3]
    grey = np.clip(dialogue.gates * 255, 0, 255).round().astype(np.uint8)
    large = [np.asarray(Image.fromarray(one).resize((size[1], size[0]), Image.Resampling.NEAREST)) for one in grey]
    return np.stack(large)[..., None].repeat(3, axis=-1)


def dialogue_sheet(dialogues: Sequence[DrawnDialogue]) -> np.ndarray:
    """Return rows of true images, generated ones and gates of each dialogue, a column a turn, (H, W, 3) uint8."""
    blocks = []
    for one in dialogues:
        parts = [part for part in (one.truth, one.images, gate_images(one)) if part is not None]
        blocks.append(np.concatenate([np.concatenate(list(part), axis=1) for part in parts]))
    width = max(block.shape[1] for block in blocks)
    padded = [np.pad(block, ((0, GAP), (0, width - block.shape[1]), (0, 0)), constant_values=WHITE) for block in blocks]
    return np.concatenate(padded)[:-GAP]


def dialogues_html(dialogues: Sequence[DrawnDialogue]) -> str:
    """Return a table for each dialogue: instruction, true image, generated image and gate of every turn."""
    tables = []
    for one in dialogues:
        rows = {"true": one.truth, "generated": one.images, "gate": gate_images(one)}
        head = "".join(f"<th>{escape(text)}</th>" for text in one.texts)
        body = "".join(
            f'<tr><th scope="row">{name}</th>' + "".join(f"<td>{_tag(image)}</td>" for image in images) + "</tr>"
            for name, images in rows.items()
            if images is not None
        )
        tables.append(
            f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )
    return "".join(tables)


def _tag(image: np.ndarray) -> str:
    return f'<img src="{jpeg(image, EDGE)}" width="{EDGE}" alt="">'
