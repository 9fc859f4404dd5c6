"""Pictures and recordings of Tux Paint's stamps: drawn on white squares, and checked before they are taken."""

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.audio.read import SAMPLE_RATE, AudioError, read_audio

logger = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.1
SILENT_PEAK = 1e-3
FAINTEST = 1e-3  # share of the pixels that must differ from white
VISIBLE = 7 / 8  # of the side: what a 224-pixel centre crop keeps of 256


class PictureError(Exception):
    """A single picture cannot be prepared; the caller counts it and goes on."""


def check_recording(path: Path) -> tuple[float, str | None]:
    """Decode a whole sound file.

    Args:
        path: ogg or wav.

    Returns:
        Its length in seconds, and what is wrong with it: ``broken``, ``empty``, ``silent`` or None.
    """
    try:
        samples = read_audio(path, allow_silence=True)
    except AudioError as error:
        logger.warning("%s", error)
        return 0.0, "broken"
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        return seconds, "empty"
    return seconds, None if np.abs(samples).max() > SILENT_PEAK else "silent"


def open_picture(path: Path, size: int) -> Image.Image:
    """Draw one picture on a white square, complete within the square's central seven eighths.

    Transparent borders are cut off first, so that every object is equally large; a 224-pixel centre crop of 256 pixels,
    the usual evaluation crop, then shows all of it.

    Args:
        path: PNG or SVG.
        size: side of the square in pixels.

    Returns:
        RGB picture, (size, size).

    Raises:
        PictureError: not decodable, nothing visible, or an SVG without the package ``resvg-py``.
    """
    picture = _rasterised(path, size) if path.suffix == ".svg" else _decoded(path)
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox()
    if box is None:
        raise PictureError("nothing visible")
    picture = picture.crop(box)
    scale = VISIBLE * size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    # premultiplied while it is resized, so that invisible colours do not bleed over the edge
    picture = picture.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    square = Image.new("RGB", (size, size), "white")
    square.paste(picture, ((size - width) // 2, (size - height) // 2), picture)
    if (np.asarray(square).min(axis=2) < 235).mean() < FAINTEST:
        raise PictureError("nothing visible on white")
    return square


def _decoded(source: Path | io.BytesIO) -> Image.Image:
    try:
        with Image.open(source) as picture:
            return picture.convert("RGBA")
    except Exception as error:  # decoders raise what they like
        raise PictureError("picture cannot be decoded") from error


def _rasterised(path: Path, size: int) -> Image.Image:
    try:
        import resvg_py
    except ImportError as error:
        raise PictureError("SVG, and the package resvg-py is not installed") from error
    try:
        drawn = resvg_py.svg_to_bytes(svg_path=str(path), width=2 * size, dpi=96, skip_system_fonts=True)
    except Exception as error:
        raise PictureError("SVG cannot be drawn") from error
    return _decoded(io.BytesIO(bytes(drawn)))
