"""Images: every mode becomes RGB, the published cuts, and errors that name the file."""

import os
import struct
import warnings
import zlib
from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin, TiffImagePlugin
from torchvision import transforms as first_api

from datasets.images import ImageError, ImageTransform, read_image, read_image_bytes


def example(width=60, height=50):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "LA", "RGBA", "I;16", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 50, dtype=np.uint8), (40, 1)))
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "I;16") else "a.png")
    if mode == "I;16":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(path)
    else:
        saved = grey.convert("RGB").quantize(64) if mode == "P" else grey.convert("RGB").convert(mode)
        saved.save(path)
    rgb = read_image(path)
    assert rgb.mode == "RGB"
    assert rgb.size == (50, 40)
    expected = grey.convert("1").convert("L") if mode == "1" else grey
    assert np.abs(np.asarray(rgb).astype(int) - np.asarray(expected)[..., None]).max() <= 3


def test_transparent_parts_lie_on_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (10, 20, 30, 255)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    rgb = np.asarray(read_image(tmp_path / "a.png"))
    assert (rgb[:2] == (10, 20, 30)).all()
    assert (rgb[2:] == 255).all()


def test_white_letters_on_transparent_can_be_read(tmp_path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[2:, :, 3] = 0
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    rgb = np.asarray(read_image(tmp_path / "a.png"))
    assert (rgb[:2] == 255).all()
    assert (rgb[2:] == 0).all()


def test_bytes_and_file_are_the_same(tmp_path):
    example().save(tmp_path / "a.jpg")
    content = np.frombuffer((tmp_path / "a.jpg").read_bytes(), np.uint8)
    np.testing.assert_array_equal(read_image(content), read_image(tmp_path / "a.jpg"))


def test_unusable_images_are_named(tmp_path):
    example().save(tmp_path / "a.jpg", quality=95)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"cut\.jpg: cannot be decoded as an image \(.*truncated"):
        read_image(tmp_path / "cut.jpg")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ImageError, match=r"text\.png: cannot be decoded"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ImageError, match=r"absent\.png: there is no such image file; correct the manifest"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match=r"image\[3\]: cannot be decoded"):
        read_image(b"", "image[3]")
    for size in ((1, 1), (1, 40), (40, 1)):
        example(*size).save(tmp_path / "one.png")
        with pytest.raises(ImageError, match=rf"one\.png: is {size[0]}x{size[1]} pixels, expected at least 2"):
            read_image(tmp_path / "one.png")


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (128, 128)])
def test_evaluation_cut_is_the_published_one(size, resize):
    """Resize, centre crop, tensor, normalise in torchvision's first API, as both originals call it."""
    published = first_api.Compose(
        [
            first_api.Resize(resize),
            first_api.CenterCrop((size, size)),
            first_api.ToTensor(),
            first_api.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    for image in (example(300, 260), example(90, 141)):
        ours = ImageTransform(size, resize, random_crop=True)(image, train=False)
        torch.testing.assert_close(ours, published(image), rtol=0, atol=1e-5)


def test_training_cut_is_the_published_one():
    published = first_api.Compose([first_api.RandomResizedCrop(64), first_api.ToTensor()])
    torch.manual_seed(3)
    theirs = published(example(300, 260))
    torch.manual_seed(3)
    ours = ImageTransform(64, 80, random_crop=True).crop(example(300, 260), train=True)
    torch.testing.assert_close(first_api.ToTensor()(ours), theirs)


def test_flip_is_for_training_only():
    transform = ImageTransform(8, 8, random_crop=False, flip=True)
    image = example(8, 8)
    mirrored = np.asarray(image)[:, ::-1]
    seen = [np.asarray(transform.crop(image, train=True)) for _ in range(20)]
    assert any((s == mirrored).all() for s in seen)
    assert any((s == np.asarray(image)).all() for s in seen)
    assert all((np.asarray(transform.crop(image, train=False)) == np.asarray(image)).all() for _ in range(20))


def test_impossible_sizes():
    with pytest.raises(ValueError, match="size: found 224, expected at most resize, 200"):
        ImageTransform(224, 200, random_crop=False)


RAMP = np.tile(np.linspace(0, 1, 50), (40, 1))  # from black to white
GREY = np.rint(RAMP * 255)[..., None].repeat(3, axis=2)


@pytest.mark.parametrize(
    ("kind", "white"),
    [
        *((np.uint16, 2**bits - 1) for bits in (8, 10, 12, 14, 16)),
        *((np.int32, 2**bits - 1) for bits in (8, 12, 16, 24, 31)),
        *((np.float32, white) for white in (1, 255, 4095, 65535)),
        (">u2", 4095),
    ],
)
def test_values_of_any_depth_go_from_black_to_white(tmp_path, kind, white):
    Image.fromarray((RAMP * white).astype(kind)).save(tmp_path / "a.tif")
    assert np.abs(np.asarray(read_image(tmp_path / "a.tif")) - GREY).max() <= 2
    if kind == np.uint16:
        Image.fromarray((RAMP * white).astype(kind)).save(tmp_path / "a.png")
        assert np.abs(np.asarray(read_image(tmp_path / "a.png")) - GREY).max() <= 2


def test_a_guess_of_white_is_logged_once_with_its_file_and_two_that_differ_are_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("datasets.pixels._guesses", defaultdict(dict))
    caplog.set_level("INFO", "datasets.pixels")
    for number, white in enumerate((4095, 4095, 1023, 1023, 65535)):
        Image.fromarray((RAMP * white).astype(np.uint16)).save(tmp_path / f"{number}.png")
        read_image(tmp_path / f"{number}.png")
    said = [(record.levelname, record.getMessage().replace(f"{tmp_path}/", "")) for record in caplog.records]
    assert said[0] == ("INFO", "0.png: no value (uint16) is above 4095, which is taken for white")
    assert said[1][0] == "WARNING"
    assert said[1][1].startswith("2.png: 1023 is taken for white, and 4095 in 0.png; neither says what is (uint16)")
    assert said[2][1].startswith("4.png: 65535 is taken for white, and 4095 in 0.png; ")
    assert len(said) == 3


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_that_resampling_made_overshoot_are_clipped(tmp_path, white):
    values = (1.1 * RAMP - 0.05) * white
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
    expected = np.clip(1.1 * RAMP - 0.05, 0, 1)[..., None] * 255
    assert np.abs(np.asarray(read_image(tmp_path / "a.tif")) - expected).max() <= 1


def test_pixels_without_a_value_are_white_as_transparent_ones_are(tmp_path, caplog):
    gaps = np.zeros(RAMP.shape, bool)
    gaps[10:20, :30] = True
    Image.fromarray(np.where(gaps, np.nan, RAMP).astype(np.float32)).save(tmp_path / "a.tif")
    expected = np.where(gaps[..., None], 255, GREY)
    assert np.abs(np.asarray(read_image(tmp_path / "a.tif")).astype(int) - expected).max() <= 1
    assert caplog.messages == [f"{tmp_path / 'a.tif'}: holds 300 NaN among 2000 values: they are taken for white"]


def test_a_tiff_says_what_is_white(tmp_path):
    path, values = tmp_path / "a.tif", (RAMP * 255).astype(np.uint16)
    Image.fromarray(values).save(path, tiffinfo={281: 4095})  # MaxSampleValue
    assert np.asarray(read_image(path)).max() == 16
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(path, tiffinfo={262: 0})  # 0 is white
    assert np.abs(np.asarray(read_image(path)) - (255 - GREY)).max() <= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.where(RAMP > 0.4, np.nan, RAMP), "holds 1200 NaN or infinite values among 2000; save it with 8 bits"),
        (np.where(RAMP > 0.9, np.inf, RAMP), "holds 200 NaN or infinite values among 2000; save it"),
        (RAMP - 0.5, r"holds values from -0\.5 to 0\.5: which of them is black is unknown; save it"),
        (RAMP * 4095 / 65535, r"holds values up to 0\.0624857: which of them is white is unknown; save it"),
        (RAMP * 1.5, r"holds values up to 1\.5: which of them is white"),
        (RAMP * 1.11, r"holds values up to 1\.11: which of them is white"),
        (RAMP * 1.2 - 0.15, r"holds values from -0\.15 to 1\.05: which of them is black is unknown; save it"),
        ((RAMP * 20).astype(np.int32), "holds values up to 20: which of them is white"),
        ((RAMP * 20).astype(np.uint16), "holds values up to 20: which of them is white"),
        ((RAMP * 70000).astype(np.int32), "holds values up to 70000: which of them is white"),
        ((RAMP * 100 - 50).astype(np.int32), "holds values from -50 to 50: which of them is black"),
    ],
)
def test_values_without_defined_black_and_white_are_refused(tmp_path, values, message):
    values = values.astype(np.float32) if values.dtype == np.float64 else values
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=rf"a\.tif: {message}"):
        read_image(tmp_path / "a.tif")


def png(values, kind, *chunks):
    """A PNG of 16 bits a channel: grey 0, RGB 2, grey and alpha 4, RGBA 6."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    body = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in body)


def test_colours_of_12_bits_in_16(tmp_path):
    twelve = np.rint(RAMP * 4095).astype(np.uint16)
    colours = np.stack([twelve, twelve[:, ::-1], twelve // 2], axis=2)
    expected = np.stack([GREY[..., 0], GREY[:, ::-1, 0], GREY[..., 0] / 2], axis=2)
    solid = np.full((40, 50, 1), 4095)
    for content in (
        png(colours, 2),
        png(np.concatenate([colours, solid], 2), 6),
        png(np.concatenate([colours, solid * 16 + 15], 2), 6),
        png(colours * 16, 2),
    ):
        assert np.abs(np.asarray(read_image(content)) - expected).max() <= 1.5
    fourteen = np.rint(colours / 4095 * 16383).astype(np.uint16)
    assert np.abs(np.asarray(read_image(png(fourteen, 2))) - expected).max() <= 1.5
    grey = read_image(png(np.stack([twelve, solid[..., 0]], 2), 4))
    assert np.abs(np.asarray(grey) - GREY).max() <= 1
    for bright in (1, 16):  # a transparent colour lies on white, and Pillow does not find one of 16 bits
        seen = read_image(png(colours * bright, 2, (b"tRNS", struct.pack(">HHH", 0, 4095 * bright, 0))))
        assert seen.getpixel((0, 0)) == (255, 255, 255)
        assert np.abs(np.asarray(seen)[:, 1:] - expected[:, 1:]).max() <= 1.5


def test_a_png_says_what_is_white():
    dim = np.rint(RAMP * 1023).astype(np.uint16)
    said = [(b"gAMA", struct.pack(">I", 45455)), (b"sBIT", bytes([12]))]
    assert np.asarray(read_image(png(dim, 0, *said))).max() == 64
    assert np.asarray(read_image(png(dim, 0))).max() == 255
    full = np.rint(RAMP * 65535).astype(np.uint16)  # as PNG wants it: 12 bits, spread over 16
    assert np.abs(np.asarray(read_image(png(full, 0, *said))) - GREY).max() <= 1
    dark = np.rint(RAMP * 0.05 * 4095).astype(np.uint16) * 16  # as PNG wants it, too; below 12 bits by chance
    assert np.abs(np.asarray(read_image(png(dark, 0, *said))) - GREY * 0.05).max() <= 1
    assert np.abs(np.asarray(read_image(png(dark[..., None].repeat(3, 2), 2, *said))) - GREY * 0.05).max() <= 1
    bottom = np.stack([dim, np.full(dim.shape, 65535)], axis=2)  # with alpha
    assert np.asarray(read_image(png(bottom, 4, (b"sBIT", bytes([12, 16]))))).max() == 64
    assert np.abs(np.asarray(read_image(png(full // 20, 0, (b"sBIT", bytes([16]))))) - GREY * 0.05).max() <= 1


def tiff(values, **tags):
    """An uncompressed TIFF of values (H, W) or (H, W, C), little-endian."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    channels = 1 if values.ndim == 2 else values.shape[2]
    known = {256: values.shape[1], 257: values.shape[0], 258: (8 * values.itemsize,) * channels, 277: channels}
    known |= {262: 1 if channels == 1 else 2, 273: 0, 278: values.shape[0], 279: values.nbytes}
    for tag, value in (known | {int(tag.removeprefix("t")): value for tag, value in tags.items()}).items():
        directory[tag] = value
    return b"II*\0" + struct.pack("<I", 8) + directory.tobytes(8) + values.tobytes()


def test_16_bits_a_colour_in_tiff():
    values = np.rint(RAMP * 4095).astype("<u2")[..., None].repeat(3, axis=2)
    assert np.abs(np.asarray(read_image(tiff(values * 16))) - GREY).max() <= 1
    with pytest.raises(ImageError, match="has 16 bits a channel but uses less than 15 of them"):
        read_image(tiff(values * 4))
    with pytest.raises(
        ImageError, match=r"image\[3\]: has 16 bits a channel but uses less than 15 .*save it with 8 bits"
    ):
        read_image(tiff(values), "image[3]")


def sgi(values, packed):
    """An SGI image of values (H, W, C) of 16 bits, plain or run-length encoded (all of it literally)."""
    height, width, channels = values.shape
    planes = values[::-1].transpose(2, 0, 1).astype(">u2")
    head = struct.pack(">HBBHHHHII", 474, packed, 2, 3 if channels > 1 else 2, width, height, channels, 0, 65535)
    if not packed:
        return head.ljust(512, b"\0") + planes.tobytes()
    rows = [struct.pack(">H", 0x80 | width) + row.tobytes() + bytes(2) for row in planes.reshape(-1, width)]
    starts = [512 + 8 * len(rows) + number * len(rows[0]) for number in range(len(rows))]
    table = np.array([starts, [len(rows[0])] * len(rows)], ">u4")
    return head.ljust(512, b"\0") + table.tobytes() + b"".join(rows)


@pytest.mark.parametrize("packed", [0, 1])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_a_value_in_sgi(packed, channels):
    full = np.rint(RAMP * 65535)[..., None].repeat(channels, axis=2)
    full[..., 3:] = 65535
    assert np.abs(np.asarray(read_image(sgi(full, packed))) - GREY).max() <= 1
    with pytest.raises(
        ImageError, match=r"has 16 bits a channel but uses less than 15 of them: its white is unknown; save"
    ):
        read_image(sgi(full // 16, packed))


def test_16_bits_of_ink_in_tiff():
    """With 12 bits in 16 all of it is nearly white."""
    ink = np.rint((1 - RAMP) * 65535).astype("<u2")
    values = np.stack([0 * ink, 0 * ink, 0 * ink, ink], axis=2)
    assert np.abs(np.asarray(read_image(tiff(values, t262=5))) - GREY).max() <= 1
    with pytest.raises(ImageError, match=r"has 16 bits a channel but .* white is unknown; save it with 8 bits"):
        read_image(tiff(values // 16, t262=5))


def fits(values, **cards):
    """A FITS image of values (H, W), whose rows go from below to above."""
    kind = {"u1": 8, "i2": 16, "i4": 32, "f4": -32, "f8": -64}[values.dtype.str[1:]]
    known = {"SIMPLE": "T", "BITPIX": kind, "NAXIS": 2, "NAXIS1": values.shape[1], "NAXIS2": values.shape[0]} | cards
    head = "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in known.items()) + "END".ljust(80)
    data = values[::-1].tobytes()
    return head.ljust(-(-len(head) // 2880) * 2880).encode() + data.ljust(-(-len(data) // 2880) * 2880, b"\0")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_in_jpeg_2000_are_taken_with_8_bits_alone(tmp_path, mode):
    """Pillow 13 makes 65535 >> 8 by rounding: 256, of which 0 is left."""
    Image.fromarray(GREY.astype(np.uint8)).convert(mode).save(tmp_path / "a.jp2", irreversible=False)
    assert np.abs(np.asarray(read_image(tmp_path / "a.jp2")) - GREY).max() == 0
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    at = content.index(b"\xff\x4f\xff\x51") + 42
    assert content[at] == 7
    for bits in (12, 16):
        content[at] = bits - 1
        with pytest.raises(
            ImageError, match=rf"is JPEG 2000 with {bits} bits a channel, expected 8, for white would be"
        ):
            read_image(bytes(content))


def test_grey_of_16_bits_in_jpeg_2000(tmp_path):
    for white in (65535, 4095):
        Image.fromarray(np.rint(RAMP * white).astype(np.uint16)).save(tmp_path / "a.jp2", irreversible=False)
        assert np.abs(np.asarray(read_image(tmp_path / "a.jp2")) - GREY).max() <= 1


def test_fits_is_taken_with_8_bits_alone():
    values = np.rint(RAMP * 255).astype(np.uint8)
    for cards in ({}, {"BZERO": 0, "BSCALE": "1.0"}, {"BSCALE": "1.D0"}):
        assert np.abs(np.asarray(read_image(fits(values, **cards))) - GREY).max() == 0
    for odd, cards, message in (
        ((RAMP * 65535 - 32768).astype(">i2"), {"BZERO": 32768}, "FITS of mode I;16 with BZERO 32768 and BSCALE 1"),
        ((RAMP * 4095).astype(">i2"), {}, "FITS of mode I;16 with BZERO 0 and BSCALE 1"),
        ((RAMP * 4095).astype(">i4"), {}, "FITS of mode I with"),
        (RAMP.astype(">f4"), {}, "FITS of mode F with"),
        (RAMP.astype(">f8"), {}, "FITS of mode F with"),
        (values, {"BZERO": "-1.28E2"}, "FITS of mode L with BZERO -1.28E2 and BSCALE 1"),
        (values, {"BSCALE": "0.5D0"}, "FITS of mode L with BZERO 0 and BSCALE 0.5D0"),
    ):
        with pytest.raises(ImageError, match=rf"is {message}.*, expected 8 bits, 0 and 1; save it with 8 bits"):
            read_image(fits(odd, **cards))


@pytest.mark.parametrize("largest", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_netpbm_says_its_white(magic, largest):
    values = np.rint(RAMP * largest).astype(int)
    values = values[..., None].repeat(3, axis=2) if magic in ("P3", "P6") else values
    for bright in (1, 2):
        part = values // bright
        raw = part.astype(np.uint8 if largest < 256 else ">u2").tobytes()
        data = " ".join(map(str, part.ravel())).encode() if magic in ("P2", "P3") else raw
        found = np.asarray(read_image(f"{magic} 50 40 {largest}\n".encode() + data))
        assert np.abs(found - GREY / bright).max() <= 1.5


@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_of_other_files(tmp_path, order):
    """PFM, rows from below to above, and SPIDER, which Pillow writes."""
    data = RAMP[::-1].astype(f"{order}f4").tobytes()
    found = read_image(f"Pf\n50 40\n{-1.0 if order == '<' else 1.0}\n".encode() + data)
    assert np.abs(np.asarray(found) - GREY).max() <= 1
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "a.spi", format="SPIDER")
    assert np.abs(np.asarray(read_image(tmp_path / "a.spi")) - GREY).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I", "F"])
@pytest.mark.filterwarnings("ignore:IM image format")
def test_ifunc_files(tmp_path, mode):
    for white in (255, 4095, 65535):
        kind = {"F": np.float32, "I": np.int32, "I;16B": ">u2"}.get(mode, "<u2")
        Image.frombytes(mode, (50, 40), np.rint(RAMP * white).astype(kind).tobytes()).save(tmp_path / "a.im")
        assert np.abs(np.asarray(read_image(tmp_path / "a.im")) - GREY).max() <= 2


def test_32_bits_without_sign():
    values = (RAMP * (2**32 - 1)).astype("<u4")
    assert np.abs(np.asarray(read_image(tiff(values, t339=1))) - GREY).max() <= 1
    with pytest.raises(ImageError, match="which of them is black is unknown"):
        read_image(tiff(values, t339=2))


def test_signed_16_bits():
    values = (RAMP * (2**15 - 1)).astype("<i2")
    assert np.abs(np.asarray(read_image(tiff(values, t339=2))) - GREY).max() <= 1
    with pytest.raises(ImageError, match="holds values from -1 to 32766: which of them is black"):
        read_image(tiff(values - 1, t339=2))


def test_signed_8_bits():
    values = (RAMP * 127).astype("i1")
    assert np.abs(np.asarray(read_image(tiff(values, t339=2))) - GREY).max() <= 2
    with pytest.raises(ImageError, match="holds values from -1 to 126: which of them is black"):
        read_image(tiff(values - 1, t339=2))


def turned(pixels, orientation):
    """What a viewer shows of pixels (H, W, 3) that were stored with an EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    ways = {2: np.s_[:, ::-1], 3: np.s_[::-1, ::-1], 4: np.s_[::-1], 6: np.s_[:, ::-1], 7: np.s_[::-1, ::-1]}
    return pixels[ways.get(orientation, np.s_[::-1] if orientation == 8 else np.s_[:])]


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "avif"])
def test_photographs_are_upright(tmp_path, orientation, ending):
    """0 and 9 mean nothing, and turn nothing."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = example(12, 9).resize((60, 45), Image.Resampling.BILINEAR)
    path = tmp_path / f"a.{ending}"
    stored.save(path, exif=exif, quality=95)
    expected = turned(np.asarray(stored), orientation).astype(int)
    got = np.asarray(read_image(path))
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 6
    np.testing.assert_array_equal(read_image(path.read_bytes()), got)
    cut = ImageTransform(16, 20, random_crop=False).crop(read_image(path), train=False)
    upright = ImageTransform(16, 20, random_crop=False).crop(Image.fromarray(expected.astype(np.uint8)), train=False)
    assert np.abs(np.asarray(cut).astype(int) - np.asarray(upright)).mean() < 6


@pytest.mark.parametrize("mode", ["L", "I;16", "F", "CMYK", "1"])
def test_tiff_on_its_side(tmp_path, mode):
    """Pillow 13 garbles uncompressed grey TIFF that it may map into memory."""
    grey = np.asarray(example(7, 5).convert("L"))
    stored = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    shown = Image.fromarray(grey).convert("1").convert("RGB") if mode == "1" else Image.fromarray(grey).convert("RGB")
    for orientation in (1, 5, 6, 7, 8):
        stored.save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
        expected = turned(np.asarray(shown), orientation).astype(int)
        assert np.abs(np.asarray(read_image(tmp_path / "a.tif")) - expected).max() <= 1


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02"]
)
def test_damaged_exif_turns_nothing(tmp_path, exif):
    example().save(tmp_path / "a.jpg", exif=exif, quality=95)
    example().save(tmp_path / "b.jpg", quality=95)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), read_image(tmp_path / "b.jpg"))


def test_exif_that_cannot_be_parsed_turns_nothing(tmp_path, monkeypatch):
    example().save(tmp_path / "a.png")

    def getexif(_image):
        raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "as huggingface/datasets#7668 found")

    monkeypatch.setattr(Image.Image, "getexif", getexif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), example())


@pytest.mark.parametrize(
    "blank",
    [
        Image.new("RGB", (9, 7), "white"),
        Image.new("L", (9, 7), 0),
        Image.new("RGBA", (9, 7), (9, 8, 7, 0)),
        Image.fromarray(np.full((7, 9), 1234, np.uint16)),
        Image.fromarray(np.full((7, 9), 0.5, np.float32)),
    ],
)
def test_blank_images_are_refused(tmp_path, blank):
    blank.save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif: shows nothing, all 9x7 pixels are equal; replace or remove it"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("level", [0, 128, 253])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_noise_of_one_colour_is_blank(tmp_path, level, ending):
    """A black frame of a camera: what a lossy code makes of it is no image either."""
    noise = np.random.default_rng(0).integers(0, 3, (70, 90, 3)) + level
    Image.fromarray(noise.astype(np.uint8)).save(tmp_path / f"a.{ending}", quality=95)
    with pytest.raises(
        ImageError, match=rf"a\.{ending}: shows nothing, all 90x70 pixels are within [1-8] of 255 levels; r"
    ):
        read_image(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("colour", [(246, 255, 255), (255, 255, 246), (0, 0, 0)])
def test_a_small_object_on_a_plain_ground_is_an_image(tmp_path, side, colour):
    spot = Image.new("RGB", (90, 70), "white")
    spot.paste(colour, (41, 33, 41 + side, 33 + side))
    spot.save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), spot)


def test_a_faint_gradient_is_an_image(tmp_path):
    """It spans no more than noise does, but its parts differ."""
    sky = np.tile(np.linspace(200, 206, 90), (70, 1))[..., None].repeat(3, axis=2).astype(np.uint8)
    Image.fromarray(sky).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), sky)


@pytest.mark.parametrize("raised", [RuntimeError("Failed to decode\nframe 0"), NotImplementedError(), MemoryError()])
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, raised):
    example().save(tmp_path / "a.png")

    def load(_image):
        raise raised

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    said = "Failed to decode frame 0" if str(raised) else type(raised).__name__
    with pytest.raises(ImageError, match=rf"a\.png: cannot be decoded as an image \({said}\); replace or remove it"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"cannot be decoded as an image \(the file is empty\); copy it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            r"\(a pointer of Git LFS, not the image itself\); fetch it",
        ),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"\(HEIF\); convert it to JPEG or PNG"),
        (b"\xff\x0a\x12\x34", r"\(JPEG XL\); convert it"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", r"\(JPEG XL\); convert it"),
        (b'<?xml version="1.0"?>\n<!-- made -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', r"\(SVG\); convert it"),
        (b"<!DOCTYPE html><html><body>404</body></html>", r"\(a web page, such as a download that failed\); download"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isom", r"\(a video\); take a frame of it"),
        (b"%PDF-1.7\n", r"\(PDF\); convert it"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is PostScript, which is not run here"),
        (b"words", r"\(damaged, or of a kind that Pillow does not know\); replace or remove it"),
        (b"DDS " + struct.pack("<7I", 124, 4103, 9, 9, 0, 0, 0) + bytes(96), r"\(.*\); replace or remove it"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"a\.png: .*{message}"):
        read_image(path)
    with pytest.raises(ImageError, match=rf"image\[3\]: .*{message}"):
        read_image(content, "image[3]")


def test_folders_and_huge_images_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path, reason in (
        (tmp_path, r"is a folder, expected an image file; correct the manifest \(or its base path\)"),
        (tmp_path / "pipe.png", r"pipe\.png: is no regular file, expected an image file; correct"),
        (tmp_path / "a\0.png", r"a\\x00\.png': the name holds a NUL character, which no file's has; correct"),
    ):
        for read in (read_image, read_image_bytes):
            with pytest.raises(ImageError, match=reason):
                read(path)
    for sides, message in ((5000, "is 5000x5000 pixels in 18 bytes, expected at most 16777216 pixels; scale it down"),
                           (12000, "is 12000x12000 pixels in 150000 bytes, expected at most 134217728")):  # fmt: skip
        content = f"P5 {sides} {sides} 255\n".encode()
        (tmp_path / "a.pgm").write_bytes(content.ljust(18 if sides == 5000 else 150000, b"\0"))
        with warnings.catch_warnings(), pytest.raises(ImageError, match=message):
            warnings.simplefilter("ignore")
            read_image(tmp_path / "a.pgm")
    (tmp_path / "a.pgm").write_bytes(b"P5 600000 600000 255\n")
    with pytest.raises(ImageError, match=r"a\.pgm: cannot be decoded as an image \(Image size"):
        read_image(tmp_path / "a.pgm")


def test_images_so_narrow_that_scaling_them_takes_gigabytes_are_refused(tmp_path):
    for size, longest in (((4001, 40), 4000), ((40, 4001), 4000), ((65535, 2), 200)):
        Image.linear_gradient("L").resize(size).save(tmp_path / "a.png")
        message = rf"a\.png: is {size[0]}x{size[1]} pixels, expected a longer edge of at most {longest}, 100 times the"
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / "a.png", allow_blank=True)
    Image.linear_gradient("L").resize((4000, 40)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").size == (4000, 40)


def test_an_image_file_with_a_hole_of_terabytes_is_refused_by_its_size(tmp_path):
    path = tmp_path / "a.png"
    example().save(path)
    os.truncate(path, 4 << 40)
    for read in (read_image, read_image_bytes):
        with pytest.raises(
            ImageError, match=r"a\.png: has 4398046511104 bytes, expected at most 2147483648 of an image; replace"
        ):
            read(path)


def test_first_frame_counts(tmp_path):
    frames = [example(), example().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    for ending in ("tif", "png", "webp"):
        frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}"), frames[0])
    seen = Image.new("RGBA", (9, 7), (9, 8, 7, 255))
    Image.new("RGBA", (9, 7), (0, 0, 0, 0)).save(tmp_path / "a.gif", save_all=True, append_images=[seen])
    with pytest.raises(ImageError, match="shows nothing"):
        read_image(tmp_path / "a.gif")
