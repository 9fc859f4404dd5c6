"""Pixels of an opened image file as 8-bit RGB: the value of white, the ground under transparency, the orientation.

Pillow clips or cuts values of more than 8 bits, so that images of 12 bits in 16, of 32 bits or of floats turn black.
Few files give the value of white. Here it is what the file says (TIFF's BitsPerSample and MaxSampleValue; of 16 bits
those that PNG's sBIT counts, which stand at the top as PNG wants them, unless lower ones are used and these are not);
else 1 for floats up to 1, and for all others the largest value of the fewest of 8, 10, 12, 14 and 16 bits (or 24, 31
and 32) that hold the brightest pixel. An image that stays below an eighth of that has no defined white: an error.
Floats may lie a tenth of white above white and below black, as resampling makes them at sharp edges, and are clipped.
Colours of which Pillow has cut 16 bits to 8, and that stay below a quarter of these as 14 bits do, are read again from
PNG; in other files they are an error. FITS, and colours in JPEG 2000, are taken with 8 bits alone: Pillow reads other
values of the former in the wrong order of bytes, and rounds white of the latter up beyond 255, which is black. Values
of TIFF with a sign end at half of the range, and none may be below 0. JPEG 2000 itself has no orientation, and Pillow
reads no EXIF in it: such an image stays as its pixels lie.
"""

import logging
import re
import struct
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.ExifTags import Base

log = logging.getLogger(__name__)
WIDE = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of more than 8 bits
WHITES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16, 24, 31, 32))
DARKEST = 1 / 8  # of white: the brightest pixel of an image whose white is a guess
CUT_DARKEST = 1 / 4  # of 16 bits: colours of 14 bits stay below
OVERSHOOT = 0.1  # of white: a sharp edge that Lanczos' or a bicubic filter scaled overshoots by 0.07 to 0.09
BLANK = 3  # of 255 levels: of noise of one level around one colour
NOISE = 8  # of 255 levels, which such noise may span where a lossy code spreads it: JPEG of good quality makes 6
COLOURS = {"L": 1, "LA": 1, "RGB": 3, "RGBX": 3, "RGBA": 3, "CMYK": 4}  # channels that are no transparency
# Pillow's decoders that drop the lower byte: raw ones and of PNG and TIFF, of SGI plain and packed
CUT_TO_8_BITS = re.compile(r";16[BLN]|'SGI16'|'sgi_rle', .*, 2\)")
CODESTREAM = re.compile(
    rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL
)  # of JPEG 2000: the bits of its first channel, less one
FITS_SCALE = re.compile(rb"(BZERO|BSCALE) *= *([-+.\dEeDd]+)")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIGNED = 2  # of TIFF's SampleFormat
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE, SAMPLE_FORMAT = 258, 262, 281, 339  # tags of TIFF
SAVE_AGAIN = "save it with 8 bits a channel, scaled from black to white"
_guesses: dict[str, dict[float, str]] = defaultdict(dict)  # by type of values, the first image of each guessed white


class PixelError(ValueError):
    """Pixels whose black or white nobody knows; the message goes on after the file's name."""


class Scale(NamedTuple):
    """The values of a file as it describes them."""

    white: int | None = None  # None where the file does not say
    brightest: int = 0  # a value that the file says it uses, 0 where it does not
    inverted: bool = False  # 0 is white
    unsigned: bool = False  # values of 32 bits have no sign
    largest: int = WHITES[-1]  # no value is greater


def to_rgb(image: Image.Image, content: Callable[[], bytes], name: str) -> Image.Image:
    """Make any opened image, not yet loaded, RGB, upright as its EXIF orientation says; the first of several frames.

    Transparent parts lie on white; on black where nothing would be seen on white, such as white letters. ``content``
    gives the bytes of the file, and is called only where Pillow does not say enough; ``name`` is what the log calls the
    file. Raises PixelError where values have no defined black and white.
    """
    if image.format == "FITS":
        _check_fits(image, content())
    if image.format == "JPEG2000" and image.mode not in WIDE:
        _check_codestream(content())
    cut = image.mode in COLOURS and bool(CUT_TO_8_BITS.search(str(image.tile)))
    image.load()
    orientation = _orientation(image)
    if image.mode in WIDE:
        rgb = _wide(image, content, name)
    elif _is_signed(image):
        rgb = _signed_8_bits(image, name)
    elif cut and (_is_dark(image) or isinstance(image.info.get("transparency"), tuple)):
        rgb = _colours_of_16_bits(image, content, name)
    else:
        rgb = _on_ground(image)
    return rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb


def _check_fits(image: Image.Image, content: bytes) -> None:
    """Refuse FITS whose values Pillow does not read as they are meant."""
    scale = {key: text.decode() for key, text in FITS_SCALE.findall(content[: image.tile[0].offset])}
    zero, unit = scale.get(b"BZERO", "0"), scale.get(b"BSCALE", "1")
    if image.mode != "L" or float(zero.replace("D", "E")) != 0 or float(unit.replace("D", "E")) != 1:
        raise PixelError(
            f"is FITS of mode {image.mode} with BZERO {zero} and BSCALE {unit}, expected 8 bits, 0 and 1; {SAVE_AGAIN}"
        )


def _check_codestream(content: bytes) -> None:
    """Refuse colours in JPEG 2000 of more than 8 bits."""
    found = CODESTREAM.search(content)
    bits = (found[1][0] & 0x7F) + 1 if found else 8
    if bits > 8:
        raise PixelError(f"is JPEG 2000 with {bits} bits a channel, expected 8, for white would be black; {SAVE_AGAIN}")


def _is_dark(image: Image.Image) -> bool:
    """Return whether no colour of ``image``, of which 8 of 16 bits are left, comes near its white."""
    return max(high for _, high in _extremes(image)[: COLOURS[image.mode]]) < 256 * CUT_DARKEST


def is_blank(image: Image.Image) -> bool:
    """Return whether ``image`` is of one colour, or noise around one: no object of more than ``NOISE`` levels is in it.

    No channel spans more than ``BLANK`` levels; or none more than ``NOISE``, and means of 4 x 4 pixels span ``BLANK``.
    """
    few = image.resize((8, 8), Image.Resampling.NEAREST)  # mostly enough to see that it is not
    if any(spread(some) > NOISE for some in (few, image)):
        return False
    return spread(image) <= BLANK or spread(image.reduce(4)) <= BLANK


def spread(image: Image.Image) -> int:
    """Return how many levels lie between the lowest and the highest value of a channel of ``image``, the widest."""
    return max(high - low for low, high in _extremes(image))


def _extremes(image: Image.Image) -> tuple[tuple[int, int], ...]:
    """Return the lowest and highest value of every channel."""
    found = image.getextrema()
    return found if isinstance(found[0], tuple) else (found,)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 without one: as in viewers, damaged EXIF data are no reason to refuse pixels."""
    try:
        found = image.getexif().get(Base.Orientation, 1)
    except Exception:  # it parses what it finds, and raises nearly anything
        return 1
    return found if isinstance(found, int) else 1


def _on_ground(image: Image.Image) -> Image.Image:
    """Return RGB of an image of 8 bits, transparent parts on white, or on black where white would show nothing."""
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return image.convert("RGB")
    image = image.convert("RGBA")
    for ground in ("white", "black"):
        laid = Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")
        if not is_blank(laid):
            break
    return laid


def _wide(image: Image.Image, content: Callable[[], bytes], name: str) -> Image.Image:
    """Return RGB of a grey image of more than 8 bits."""
    values = np.asarray(image)
    scale = _scale(image, values, content)
    if scale.unsigned:
        values = values.view(np.uint32)
    grey = _scaled(values, scale, name)
    if isinstance(clear := image.info.get("transparency"), int):
        grey[values == clear] = 255
    return Image.fromarray(grey).convert("RGB")


def _is_signed(image: Image.Image) -> bool:
    """Return whether an image of 8 bits is TIFF whose values have a sign, which Pillow does not heed."""
    return _first(getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, 1)) == SIGNED


def _signed_8_bits(image: Image.Image, name: str) -> Image.Image:
    """Return RGB of values of 8 bits with a sign, which go up to 127."""
    values = np.asarray(image).view(np.int8)
    return Image.fromarray(_scaled(values, Scale(largest=2**7 - 1), name)).convert("RGB")


def _colours_of_16_bits(image: Image.Image, content: Callable[[], bytes], name: str) -> Image.Image:
    """Return RGB of a PNG of 16 bits a channel that Pillow spoils: far too dark, or with a transparent colour."""
    if image.format != "PNG":
        raise PixelError(f"has 16 bits a channel but uses less than 15 of them: its white is unknown; {SAVE_AGAIN}")
    from torchvision.io import ImageReadMode, decode_image  # takes seconds, for files that are rare

    data = torch.frombuffer(bytearray(content()), dtype=torch.uint8)
    values = decode_image(data, mode=ImageReadMode.UNCHANGED).movedim(0, -1).numpy()
    count = values.shape[-1] - (values.shape[-1] in (2, 4))  # Pillow opens grey and alpha as RGBA
    shades = values[..., :count]
    colours = _scaled(shades, _scale(image, shades, content), name)
    alpha = values[..., count:].astype(np.int64)
    if isinstance(clear := image.info.get("transparency"), tuple):  # a colour that is transparent
        alpha = (values != np.array(clear)).any(axis=-1, keepdims=True).astype(np.int64)
    solid = next(white for white in (1, *WHITES) if alpha.max(initial=0) <= white)
    scaled = np.concatenate([colours, (alpha * 255 // solid).astype(np.uint8)], axis=-1)
    return _on_ground(Image.fromarray(scaled))


def _scale(image: Image.Image, values: np.ndarray, content: Callable[[], bytes]) -> Scale:
    """Read what the file says of black and white."""
    if image.format == "PNG":
        bits = significant_bits(content())
        return Scale(white=None if bits is None else _white_of_png(values, bits))
    if image.format == "PPM" and image.mode == "I":
        return Scale(white=2**16 - 1)  # Pillow scales by the file's largest value
    tags = getattr(image, "tag_v2", {})
    bits, kind = (_first(tags.get(tag, default)) for tag, default in ((BITS_PER_SAMPLE, 0), (SAMPLE_FORMAT, 1)))
    brightest = _first(tags.get(MAX_SAMPLE, 0))
    return Scale(
        white=2**bits - 1 if 8 < bits < 16 else None,
        brightest=brightest if isinstance(brightest, int) else 0,
        inverted=_first(tags.get(PHOTOMETRIC, 1)) == 0,
        unsigned=bits == 32 and kind == 1,
        largest=2**15 - 1 if bits == 16 and kind == SIGNED else WHITES[-1],
    )


def _white_of_png(values: np.ndarray, bits: int) -> int:
    """Return the white of values of 16 bits of which a PNG says that ``bits`` are used.

    PNG wants these at the top, the others repeated or 0; some writers leave them at the bottom.
    """
    low = (1 << max(0, 16 - bits)) - 1
    at_bottom = 0 < bits < 16 and int(values.max()) < 1 << bits and bool(np.any(values & low))
    return (1 << bits if at_bottom else 1 << 16) - 1


def _first(value: object) -> object:
    return value[0] if isinstance(value, tuple) and value else value


def significant_bits(content: bytes) -> int | None:
    """Return the most bits that ``content``, a PNG, says its colours use (chunk sBIT); None where it does not say."""
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"sBIT":
            said = content[at + 8 : at + 8 + length]
            return max(said[: length - (length in (2, 4))], default=None)  # the last is of alpha
        if kind == b"IDAT":
            return None
        at += 12 + length
    return None


def _scaled(values: np.ndarray, scale: Scale, name: str) -> np.ndarray:
    """Scale values of any type from black to white as uint8.

    NaN marks pixels without data, as geographic and scientific files use it: they are white, as transparent ones are.
    Floats up to ``OVERSHOOT`` of white beyond black and white are clipped. Raises PixelError where more than half of
    the values are NaN, one is infinite, or nobody knows which is black or white.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return _with_gaps(values, scale, name)
    lowest, peak = values.min(), values.max()
    if lowest == peak:
        return np.zeros(values.shape, np.uint8)  # blank, whatever is white
    if lowest < (-OVERSHOOT * _guessed(float(peak), values.dtype) if values.dtype.kind == "f" else 0):
        raise PixelError(f"holds values from {lowest:g} to {peak:g}: which of them is black is unknown; {SAVE_AGAIN}")
    white = scale.white
    if white is None or peak > white:
        white = min(scale.largest, _guessed(float(max(peak, scale.brightest)), values.dtype))
        if max(peak, scale.brightest) < DARKEST * white:
            raise PixelError(f"holds values up to {peak:g}: which of them is white is unknown; {SAVE_AGAIN}")
        _say_guess(values.dtype.name, white, name)
    scaled = np.rint(values.astype(np.float32) * np.float32(255 / white)).clip(0, 255).astype(np.uint8)
    return 255 - scaled if scale.inverted else scaled


def _with_gaps(values: np.ndarray, scale: Scale, name: str) -> np.ndarray:
    """Scale values among which some are not finite, see :func:`_scaled`."""
    gaps = np.isnan(values)
    if np.isinf(values).any() or 2 * np.count_nonzero(gaps) > values.size:
        bad = values.size - np.count_nonzero(np.isfinite(values))
        raise PixelError(f"holds {bad} NaN or infinite values among {values.size}; {SAVE_AGAIN}")
    count = np.count_nonzero(gaps)
    log.warning("%s: holds %d NaN among %d values: they are taken for white", name, count, values.size)
    scaled = _scaled(np.where(gaps, values[~gaps].min(), values), scale, name)
    scaled[gaps] = 255
    return scaled


def _guessed(peak: float, kind: np.dtype) -> float:
    """Return the white of values of type ``kind`` up to ``peak``."""
    if kind.kind != "f":
        return next((white for white in WHITES if peak <= white), np.inf)
    return next((white for white in (1.0, *WHITES) if peak <= white * (1 + OVERSHOOT)), np.inf)


def _say_guess(kind: str, white: float, name: str) -> None:
    """Log the first image of a guess of white; warn of the first whose guess is not that of the others of its type.

    Each image is judged alone, so that it does not depend on those that a process read before.
    """
    known = _guesses[kind]
    if white in known:
        return
    if known:
        other, first = next(iter(known.items()))
        log.warning(
            "%s: %.12g is taken for white, and %.12g in %s; neither says what is (%s): if it should be the same, "
            "save both with 8 bits a channel, scaled alike", name, white, other, first, kind,
        )  # fmt: skip
    elif white != (1 if kind.startswith("float") else np.iinfo(kind).max):
        log.info("%s: no value (%s) is above %.12g, which is taken for white", name, kind, white)
    known[white] = name
