"""Files of a built world, encoded the same way every time."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from PIL import Image

from common.files import write_plainly, write_whole, written_whole

ImageFormat = Literal["jpg", "png"]
AudioFormat = Literal["wav", "flac"]

JPEG_QUALITY = 90


def write_media(path: Path, content: bytes) -> None:
    """Write one of very many files, plainly: the shard that it belongs to vouches for it afterwards."""
    write_plainly(path, content)


def write_json(path: Path, value: Any) -> None:
    """Write plain values as readable JSON, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write text lines, given without line ends, one by one (they may be millions), whole or not at all."""
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def encode_image(image: np.ndarray, image_format: ImageFormat, quality: int = JPEG_QUALITY) -> bytes:
    """Encode (H, W, 3) RGB or (H, W) grey uint8: jpg is of a quality and without colour subsampling, png lossless."""
    buffer = io.BytesIO()
    if image_format == "jpg":
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_audio(samples: np.ndarray, rate_hz: int, audio_format: AudioFormat) -> bytes:
    """Encode mono sound (N,) float32 in [-1, 1] with 16 bits; flac holds the same samples as wav in half the bytes."""
    buffer = io.BytesIO()
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
    soundfile.write(buffer, pcm, rate_hz, format=audio_format.upper(), subtype="PCM_16")
    return buffer.getvalue()
