"""Images, sound and heat maps as data URIs, small enough to travel inside one HTML file."""

import base64
import io
from itertools import pairwise

import numpy as np
import soundfile
from PIL import Image

LONGEST_SECONDS = 20.0
MOST_FRAMES = 160
# similarity 0-1 -> opacity of a grey shade: what responds keeps its colours, the rest is only darker
SHADE = [(0.0, 0.62), (0.3, 0.54), (0.6, 0.0), (1.0, 0.0)]
LINE = 0.6  # similarity along which the line around the responding region runs


def data_uri(kind: str, content: bytes) -> str:
    """Return ``content`` as a data URI of media type ``kind``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg(image_u8: np.ndarray, edge: int) -> str:
    """Return an image (H, W, 3) uint8 as data URI of a JPEG, made smaller where it exceeds ``edge`` pixels."""
    image = Image.fromarray(image_u8)
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=84, optimize=True)
    return data_uri("image/jpeg", out.getvalue())


def flac(waveform: np.ndarray, sample_rate: int) -> str:
    """Return sound (n,) float, -1..1, as data URI of 16-bit FLAC, which browsers play and which keeps time exactly.

    It has at most 20 seconds; louder sound is scaled down. ``sample_rate`` is in Hz.
    """
    samples = np.nan_to_num(waveform[: int(LONGEST_SECONDS * sample_rate)].astype(np.float32))
    samples = samples / max(1.0, float(np.abs(samples).max(initial=0.0)))
    out = io.BytesIO()
    soundfile.write(out, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return data_uri("audio/flac", out.getvalue())


def normalised(matchmap: np.ndarray, clip: float = 0.2) -> np.ndarray:
    """Scale a match map (h, w, t) to 0-1 over all regions and frames, (h, w, t') float32 of at most 160 frames.

    Neighbouring frames are averaged. The lowest percent is clipped, and ``clip`` percent at the top, so that one
    extreme cell does not hide the rest; NaN counts as the lowest value, and a constant map gives zeros.
    """
    values = np.asarray(matchmap, np.float32)
    if values.shape[2] > MOST_FRAMES:
        edges = np.linspace(0, values.shape[2], MOST_FRAMES + 1).round().astype(int)
        values = np.stack([values[:, :, a:b].mean(axis=2) for a, b in pairwise(edges)], axis=2)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros_like(values)
    low, high = np.percentile(finite, [1, 100 - clip])
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-9)
    return np.clip(scaled, 0, 1) if high - low > 1e-9 else np.zeros_like(values)


def sprite(heat: np.ndarray) -> str:
    """Return the frames of a heat map (h, w, t), 0-1, side by side as data URI of an 8-bit grey PNG, (h, t * w)."""
    h, w, t = heat.shape
    pixels = (heat.transpose(0, 2, 1).reshape(h, t * w) * 255).round().astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return data_uri("image/png", out.getvalue())


def overlay(image_u8: np.ndarray, heat: np.ndarray, edge: int) -> np.ndarray:
    """Draw a heat map (h, w), 0-1, over an image: the rest is darker, a line runs around the responding region.

    The image (H, W, 3) uint8 is made smaller where it exceeds ``edge`` pixels.
    """
    image = Image.fromarray(image_u8)
    image.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    values = Image.fromarray((heat * 255).round().astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)
    similarity = np.asarray(values, np.float32) / 255
    shade = np.interp(similarity, *zip(*SHADE, strict=True))[..., None]
    shaded = (np.asarray(image) * (1 - shade)).round().astype(np.uint8)
    inside = similarity >= LINE
    shaded[outline(inside)], shaded[outline(~inside)] = 255, 0  # a white line with a dark one around it, on any colour
    return shaded


def outline(region: np.ndarray) -> np.ndarray:
    """Return the pixels (h, w) bool of a region that touch a pixel outside it; the image's border is no outline."""
    padded = np.pad(region, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return region & ~inner
