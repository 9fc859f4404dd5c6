"""Images and recordings of Tux Paint's stamps: put on white squares, and checked before they are taken."""

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
VISIBLE = 7 / 8  # of the width: what a 224-pixel centre crop keeps of 256


class UnusableImageError(Exception):
    """A single image cannot be prepared; the caller counts it and goes on."""


def check_recording(path: Path) -> tuple[float, str | None]:
    """Decode a whole ogg or wav file; return its seconds, and ``broken``, ``empty``, ``silent`` or None."""
    try:
        samples = read_audio(path, allow_silence=True)
    except AudioError as error:
        logger.warning("%s", error)
        return 0.0, "broken"
    seconds = len(samples) / SAMPLE_RATE
    if seconds < SHORTEST_SECONDS:
        return seconds, "empty"
    return seconds, None if np.abs(samples).max() > SILENT_PEAK else "silent"


def open_image(path: Path, size: int) -> Image.Image:
    """Put a PNG or SVG on a white square (size, size), RGB, complete within the square's central seven eighths.

    Transparent borders are cut off first, so that every object is equally large; a 224-pixel centre crop of 256 pixels,
    the usual evaluation crop, then shows all of it. Raises UnusableImageError where it cannot be decoded, nothing is
    visible, or an SVG comes without the package ``resvg-py``.
    """
    image = _rasterised(path, size) if path.suffix == ".svg" else _decoded(path)
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox()
    if box is None:
        raise UnusableImageError("nothing visible")
    image = image.crop(box)
    scale = VISIBLE * size / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    # premultiplied while it is resized, so that invisible colours do not bleed over the edge
    image = image.convert("RGBa").resize((width, height), Image.Resampling.LANCZOS).convert("RGBA")
    square = Image.new("RGB", (size, size), "white")
    square.paste(image, ((size - width) // 2, (size - height) // 2), image)
    if (np.asarray(square).min(axis=2) < 235).mean() < FAINTEST:
        raise UnusableImageError("nothing visible on white")
    return square


def _decoded(source: Path | io.BytesIO) -> Image.Image:
    try:
        with Image.open(source) as image:
            return image.convert("RGBA")
    except Exception as error:  # decoders raise what they like
        raise UnusableImageError("image cannot be decoded") from error


def _rasterised(path: Path, size: int) -> Image.Image:
    try:
        import resvg_py
    except ImportError as error:
        raise UnusableImageError("SVG, and the package resvg-py is not installed") from error
    try:
        drawn = resvg_py.svg_to_bytes(svg_path=str(path), width=2 * size, dpi=96, skip_system_fonts=True)
    except Exception as error:
        raise UnusableImageError("SVG cannot be drawn") from error
    return _decoded(io.BytesIO(bytes(drawn)))
