"""Rows of images in which one thing changes: as one image, as an animation, on a page.

Shape letters: N images, R pixels high and wide.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from common.files import written_whole
from evaluation.report.parts.media import jpeg
from evaluation.report.video import FPS, enlarged, even, write_video

GAP = 2  # white pixels between two images
FRAME_MS, HELD = 60, 8  # of a frame of a GIF; frames for which both ends stay
EDGE = 128  # pixels of an image on the page
STYLE = """
.strips { border-collapse: collapse; } .strips td, .strips th { padding: 3px 6px; text-align: center; }
.strips th { font-weight: 500; font-size: 13px; color: var(--soft); text-align: left; max-width: 260px; }
.strips img { width: 96px; height: 96px; image-rendering: auto; border-radius: 4px; display: block; }
"""
Animation = Literal["gif", "mp4"]


class Strip(NamedTuple):
    """A row of images with a text before it and one below each."""

    title: str
    images: list[np.ndarray]  # N, (R, R, 3) uint8
    captions: list[str]  # N


def side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    """Put images (R, R, 3) uint8 into one, with white gaps."""
    height = images[0].shape[0]
    gap = np.full((height, GAP, 3), 255, np.uint8)
    parts = [part for image in images for part in (gap, image)][1:]
    return np.concatenate(parts, axis=1)


def sheet(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Put rows of equally many images into one image (H, W, 3) uint8."""
    lines = [side_by_side(row) for row in rows]
    gap = np.full((GAP, lines[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for line in lines for part in (gap, line)][1:], axis=0)


def write_animation(path: Path, images: Sequence[np.ndarray], kind: Animation) -> Path:
    """Show images (R, R, 3) uint8 one after the other, there and back, as ``path`` with the ending of ``kind``.

    Raises VideoError where ffmpeg fails.
    """
    path = path.with_suffix(f".{kind}")
    there = [images[0]] * HELD + list(images) + [images[-1]] * HELD
    frames = there + there[::-1]
    if kind == "mp4":
        shown = [even(enlarged(image)) for image in images]
        held = [shown[0]] * HELD + shown + [shown[-1]] * HELD
        each = max(1, round(FRAME_MS / 1000 * FPS))
        return write_video(path, [frame for frame in held + held[::-1] for _ in range(each)])
    pictures = [Image.fromarray(frame) for frame in frames]
    with written_whole(path) as part:
        pictures[0].save(part, "GIF", save_all=True, append_images=pictures[1:], duration=FRAME_MS, loop=0)
    return path


def strips_html(strips: Sequence[Strip]) -> str:
    """Return a table of strips; it needs :data:`STYLE`, or is plain without."""
    rows = "".join(
        f'<tr><th scope="row">{escape(strip.title)}</th>'
        + "".join(
            f'<td><img width="96" height="96" src="{jpeg(image, EDGE)}" alt=""><small>{escape(caption)}</small></td>'
            for image, caption in zip(strip.images, strip.captions, strict=True)
        )
        + "</tr>"
        for strip in strips
    )
    return f'<div class="scroll"><table class="strips"><tbody>{rows}</tbody></table></div>'
