"""Damaged images of every kind: they are decoded or refused by an error that names the file, nothing else."""

import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.images import LARGEST, ImageError, read_image

KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "TGA", "JPEG2000", "ICO", "DDS", "SGI", "PCX")
PIXELS = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
VALUES = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 128, 255]))


def encoded(kind, image=None, **settings):
    """A whole file of 16x12 pixels, with EXIF data where the kind holds some."""
    exif = Image.Exif()
    exif[0x0112] = 6
    holds = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF") else {}
    file = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(file, kind, **holds, **settings)
    return file.getvalue()


WHOLE = [encoded(kind) for kind in KINDS]
WHOLE += [encoded("TIFF", compression=packing) for packing in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")]
WHOLE += [encoded(kind, Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)) for kind in ("PNG", "TIFF")]
WHOLE += [encoded(kind, Image.fromarray(PIXELS).quantize(8), transparency=2) for kind in ("PNG", "GIF")]
WHOLE += [encoded("TIFF", Image.fromarray(PIXELS[..., 0].astype(np.float32))), encoded("JPEG", progressive=True)]


@st.composite
def damaged(draw):
    """A file that is cut, has bytes changed, a length overwritten, or a piece taken out or put in twice."""
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1) if content else st.just(0))
        match draw(st.sampled_from(["cut", "change", "length", "remove", "repeat"])):
            case "cut":
                del content[at:]
            case "change":
                content[at : at + 1] = bytes([draw(VALUES)])
            case "length":
                content[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.integers(0, 2**32 - 1)))
            case "remove":
                del content[at : at + draw(st.integers(1, 64))]
            case _:
                content[at:at] = content[at : at + draw(st.integers(1, 64))]
    return bytes(content)


@pytest.mark.parametrize("form", ["file", "bytes"])
def test_damaged_images_are_decoded_or_named(tmp_path, form):
    path = tmp_path / "odd.img"

    @settings(
        max_examples=250 if form == "bytes" else 40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(damaged())
    def check(content):
        if form == "file":
            path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = read_image(path) if form == "file" else read_image(content, "image[3]")
            except ImageError as error:
                name = str(path) if form == "file" else "image[3]"
                assert str(error).startswith(f"{name}: "), "names the file"
                assert "\n" not in str(error), "one sentence"
                assert "object at 0x" not in str(error), "no inner names"
                outcomes.add("refused")
                return
        assert image.mode == "RGB"
        assert 4 <= image.width * image.height <= LARGEST
        assert any(low < high for low, high in image.getextrema())
        outcomes.add("decoded")

    outcomes: set[str] = set()
    check()
    assert outcomes == {"refused", "decoded"}


def test_whole_images_are_decoded():
    for content in WHOLE:
        assert sorted(read_image(content).size) == [12, 16]
