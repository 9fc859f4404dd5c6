"""Dialogues that were drawn turn by turn, beside the true ones where these are known, as one image and as HTML.

Shape letters: L turns, R height and width of the images, H, W of a gate.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.report.parts.media import jpeg

EDGE = 128  # pixels of an image in HTML, and the least in a sheet, where images are enlarged by whole numbers
GAP = 4  # pixels between dialogues and between images
LETTERS = 12  # pixels, height of a letter of an instruction
LINES = 5  # of an instruction
PAPER, INK = (255, 255, 255), (0, 0, 0)


class DrawnDialogue(NamedTuple):
    """One dialogue of L turns."""

    texts: Sequence[str]
    truth: np.ndarray | None  # (L, R, R, 3) uint8; None where nobody knows it
    images: np.ndarray  # (L, R, R, 3) uint8
    gates: np.ndarray | None  # (L, H, W) in 0-1, high where nothing changes


def gate_image(gate: np.ndarray, size: int) -> np.ndarray:
    """Return a gate (H, W) in 0-1 as a grey image (size, size, 3) uint8."""
    grey = Image.fromarray(np.clip(gate * 255, 0, 255).round().astype(np.uint8))
    return np.asarray(grey.resize((size, size), Image.Resampling.NEAREST))[..., None].repeat(3, axis=-1)


def gate_images(dialogue: DrawnDialogue) -> np.ndarray | None:
    """Return the gates as grey images (L, R, R, 3) uint8, None where there are none."""
    if dialogue.gates is None:
        return None
    return np.stack([gate_image(one, dialogue.images.shape[1]) for one in dialogue.gates])


def dialogue_sheet(dialogues: Sequence[DrawnDialogue]) -> np.ndarray:
    """Return a sheet (H, W, 3) uint8: of each dialogue its instructions, true images, generated ones and gates.

    A column is a turn; rows that a dialogue does not have are left out.
    """
    blocks = [_block(one) for one in dialogues]
    width = max(block.shape[1] for block in blocks)
    padded = [np.pad(block, ((0, GAP), (0, width - block.shape[1]), (0, 0)), constant_values=255) for block in blocks]
    return np.concatenate(padded)[:-GAP]


def _block(dialogue: DrawnDialogue) -> np.ndarray:
    """Return the part of a sheet that shows one dialogue."""
    parts = [part for part in (dialogue.truth, dialogue.images, gate_images(dialogue)) if part is not None]
    scale = -(-EDGE // dialogue.images.shape[1])
    rows = [_row([np.kron(image, np.ones((scale, scale, 1), np.uint8)) for image in part]) for part in parts]
    size = dialogue.images.shape[1] * scale
    return np.concatenate([_row([_written(text, size) for text in dialogue.texts]), *rows])


def _row(images: Sequence[np.ndarray]) -> np.ndarray:
    padded = [np.pad(image, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for image in images]
    return np.concatenate(padded, axis=1)[:, :-GAP]


def _written(text: str, width: int) -> np.ndarray:
    """Write an instruction in a few lines, (H, ``width``, 3) uint8."""
    image = Image.new("RGB", (width, LINES * (LETTERS + 2)), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(LETTERS)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if pen.textlength(longer, font) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > LINES:
        lines[LINES - 1] += " ..."
    for number, line in enumerate(lines[:LINES]):
        pen.text((0, number * (LETTERS + 2)), line, INK, font)
    return np.asarray(image)


def dialogues_html(dialogues: Sequence[DrawnDialogue]) -> str:
    """Return a table for each dialogue: instruction, true image, generated image and gate of every turn."""
    return "".join(
        _table(one.texts, {"true": one.truth, "generated": one.images, "gate": gate_images(one)}) for one in dialogues
    )


def gates_html(
    texts: Sequence[str], previous: np.ndarray, images: np.ndarray, true: np.ndarray, found: np.ndarray
) -> str:
    """Return a table of turns with the gates that were asked for and those that were found.

    Args:
        texts: n instructions.
        previous: images (n, R, R, 3) uint8 before.
        images: (n, R, R, 3) uint8 after.
        true: (n, H, W) in 0-1, high where the maps of the two do not differ.
        found: (n, H, W) in 0-1, high where nothing changes.
    """
    size = images.shape[1]
    gates = [np.stack([gate_image(gate, size) for gate in part]) for part in (true, found)]
    rows = {"previous": previous, "next": images, "true gate": gates[0], "predicted gate": gates[1]}
    return _table(texts, rows)


def _table(texts: Sequence[str], rows: Mapping[str, np.ndarray | None]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in texts)
    body = "".join(
        f'<tr><th scope="row">{name}</th>' + "".join(f"<td>{_tag(image)}</td>" for image in images) + "</tr>"
        for name, images in rows.items()
        if images is not None
    )
    return f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _tag(image: np.ndarray) -> str:
    return f'<img src="{jpeg(image, EDGE)}" width="{EDGE}" alt="">'
