"""Pictures and recordings of Tux Paint's stamps: drawn on white squares, and checked before they are taken."""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from datasets.broken_off import what_is_missing

logger = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.1
SILENT_PEAK = 1e-3
FAINTEST = 1e-3  # share of the pixels that must differ from white
VISIBLE = 7 / 8  # of the side: what a 224-pixel centre crop keeps of 256
UNCLOSED = frozenset({  # SHA-256 of ml/plants/flowers/adeenia and anthoorium as the collection publishes them
    "0fda65bbba4065bb2c2b71a60fca18b3d46b5dcfbb3d6aaa8c915bf8e198f9a3",
    "c4de18f786ed219aa19307d27e95d6a666ff2594ddadacdb48a7b3ba2608753b",
})  # fmt: skip


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
        with soundfile.SoundFile(path) as file:
            samples = file.read(dtype="float32", always_2d=True)
            seconds, missing = len(samples) / file.samplerate, what_is_missing(path, file, len(samples))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        logger.warning("%s cannot be decoded: %s", path, error)
        return 0.0, "broken"
    if missing is not None:
        logger.warning("%s breaks off, %s", path, missing)
        return seconds, "broken"
    if seconds < SHORTEST_SECONDS:
        return seconds, "empty"
    peak = float(np.abs(samples).max())
    return seconds, None if peak > SILENT_PEAK else "silent" if np.isfinite(peak) else "broken"


def copy_recording(source: Path, target: Path) -> bool:
    """Copy a sound file; two known ones get the end-of-stream mark that they were published without.

    In those two a moment of noise behind the words is missing, and with the mark they are whole files again. Any other
    file without the mark was cut short and is copied as it is, for :func:`check_recording` to find.

    Args:
        source: ogg or wav.
        target: the copy; its folder is made if needed.

    Returns:
        Whether the file is one of the two (``UNCLOSED``) and was repaired.
    """
    content = bytearray(source.read_bytes())
    known = hashlib.sha256(content).hexdigest() in UNCLOSED
    if known:
        at = content.rfind(b"OggS")
        content[at + 5] |= 4
        content[at + 22 : at + 26] = bytes(4)
        content[at + 22 : at + 26] = _checksum(content[at:]).to_bytes(4, "little")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return known


def _checksum(page: bytes) -> int:
    """CRC of an Ogg page whose own field is zero (RFC 3533: polynomial 0x04c11db7, nothing reflected)."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x104C11DB7 if value & 0x80000000 else 0)
    return value


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
