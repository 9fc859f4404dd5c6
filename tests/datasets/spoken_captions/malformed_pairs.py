"""HDF5 pairs that are wrong in one way each, made from a good one of three rows: what test_hdf5_pair.py reads.

A function here takes the open file that it spoils, ``audio`` or ``image``; ``MALFORMED`` names it, the file, the
dataset and what the message must say. ``BYTES`` spoil a file as a whole, by its path.
"""

import io
import os
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

ROWS, WIDTH = 3, 24
LENGTHS = (12, 24, 7)


def write_pair(folder):
    """Write a good pair of three rows; returns the paths of the JSON, the log-mels and the images."""
    audio, image, manifest = (folder / name for name in ("pair_audio.h5", "pair_image.h5", "pair.json"))
    with h5py.File(audio, "w") as file:
        mel = np.random.default_rng(0).normal(-40, 10, (ROWS, 40, WIDTH)).astype(np.float32)
        file["melspec"], file["melspec_len"] = mel, np.array(LENGTHS)
    with h5py.File(image, "w") as file:
        images = file.create_dataset("image", (ROWS,), h5py.vlen_dtype(np.uint8))
        for row in range(ROWS):
            stream = io.BytesIO()
            pixels = np.random.default_rng(row).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(stream, "PNG")
            images[row] = np.frombuffer(stream.getvalue(), np.uint8)
    manifest.write_text('{"audio_hdf5_path": "pair_audio.h5", "image_hdf5_path": "pair_image.h5"}')
    return manifest, audio, image


def without(name):
    """Take a dataset out."""
    return lambda file: file.__delitem__(name)


def instead(name, value):
    """Put a value in a dataset's place."""

    def spoil(file):
        del file[name]
        file[name] = value

    return spoil


def made(name, shape, dtype=np.float32, **settings):
    """Put a dataset that was never written instead of another."""

    def spoil(file):
        del file[name]
        file.create_dataset(name, shape, dtype, **settings)

    return spoil


def value(name, where, number, dtype=None):
    """Change one value, of a dataset of another type where one is given."""

    def spoil(file):
        values = file[name][:]
        values = values if dtype is None else values.astype(dtype)
        values[where] = number
        del file[name]
        file[name] = values

    return spoil


def group(name):
    """Put a group in a dataset's place."""

    def spoil(file):
        del file[name]
        file.create_group(name)["inside"] = np.zeros(ROWS)

    return spoil


def virtual(name, shape, dtype):
    """Put a virtual dataset of a file that is not there instead of another: it reads as zeros."""

    def spoil(file):
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:1] = h5py.VirtualSource("nowhere.h5", "values", (1, *shape[1:]))
        del file[name]
        file.create_virtual_dataset(name, layout)

    return spoil


def elsewhere(name, shape, dtype):
    """Put a dataset whose values are another file's bytes instead of another."""

    def spoil(file):
        del file[name]
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        file.create_dataset(name, shape, dtype, external=[("pair.json", 0, size)])

    return spoil


def filtered(name, code):
    """Put a dataset that needs a filter that nobody has instead of another."""

    def spoil(file):
        values = file[name][:]
        del file[name]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, *values.shape[1:]))
        properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        space = h5py.h5s.create_simple(values.shape)
        written = h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(values.dtype), space, properties)
        for row in range(len(values)):  # the raw bytes of a chunk that says it went through the filter
            written.write_direct_chunk((row,) + (0,) * (values.ndim - 1), values[row : row + 1].tobytes(), 0)

    return spoil


def spoilt_chunk(file):
    """Write a chunk that is no deflate stream."""
    values = file["melspec"][:]
    del file["melspec"]
    written = file.create_dataset("melspec", data=values, chunks=(1, 40, WIDTH), compression="gzip")
    written.id.write_direct_chunk((1, 0, 0), b"no deflate stream", 0)


def tagged(tag):
    """Give a file an attribute that says which pair it is of."""
    return lambda file: file.attrs.__setitem__("pair", tag)


def linked(name, link):
    """Put a link in a dataset's place."""
    return instead(name, link)


def looping(file):
    """Two links that lead to each other."""
    del file["melspec"]
    file["melspec"], file["other"] = h5py.SoftLink("/other"), h5py.SoftLink("/melspec")


def broken_image(file):
    """Replace the bytes of one image."""
    file["image"][1] = np.frombuffer(b"no picture", np.uint8)


def words(length):
    """Vlen text."""
    return np.array(["word"] * length, dtype=h5py.string_dtype())


def into_another_file(file):
    """Replace melspec by a link to what lies in a group that is a link into another file."""
    with h5py.File(Path(file.filename).with_name("further.h5"), "w") as further:
        file.copy("melspec", further.create_group("inside"), "melspec")
    del file["melspec"]
    file["group"] = h5py.ExternalLink("further.h5", "/inside")
    file["melspec"] = h5py.SoftLink("/group/melspec")


def references(file):
    """Replace lengths by references to objects."""
    target = file["melspec"].ref
    del file["melspec_len"]
    file.create_dataset("melspec_len", (ROWS,), h5py.ref_dtype)[:] = [target] * ROWS


HUGE = 1 << 40  # frames: 160 TiB of a row's 40 bands

# name: (the file, what is done to it, the dataset that the message names, what it says)
MALFORMED = {
    "no melspec": ("audio", without("melspec"), "melspec", "has no dataset melspec, found melspec_len"),
    "no lengths": ("audio", without("melspec_len"), "melspec_len", "has no dataset melspec_len, found melspec"),
    "no image": ("image", without("image"), "image", "has no dataset image, found nothing"),
    "melspec is a group": ("audio", group("melspec"), "melspec", "is a group, expected a dataset"),
    "lengths are a group": ("audio", group("melspec_len"), "melspec_len", "is a group, expected a dataset"),
    "image is a group": ("image", group("image"), "image", "is a group, expected a dataset"),
    "melspec is a type": (
        "audio",
        instead("melspec", np.dtype("f4")),
        "melspec",
        "is a named type, expected a dataset",
    ),
    "melspec links to itself": (
        "audio",
        linked("melspec", h5py.SoftLink("/melspec")),
        "melspec",
        "is a link that leads to no",
    ),
    "melspec is in a loop": ("audio", looping, "melspec", "is a link that leads to no dataset"),
    "image links to nothing": (
        "image",
        linked("image", h5py.SoftLink("/none")),
        "image",
        "is a link that leads to no dataset",
    ),
    "melspec links into a missing file": (
        "audio",
        linked("melspec", h5py.ExternalLink("gone.h5", "/melspec")),
        "melspec",
        r"is a link into another file, gone\.h5; expected the dataset itself",
    ),
    "image links into the other file": (
        "image",
        linked("image", h5py.ExternalLink("pair_audio.h5", "/melspec")),
        "image",
        r"is a link into another file, pair_audio\.h5",
    ),
    "melspec is in a group of another file": (
        "audio",
        into_another_file,
        "melspec",
        r"is a link that leads into another file, .*further\.h5; expected the dataset itself",
    ),
    "lengths link into their own file": (
        "audio",
        linked("melspec_len", h5py.ExternalLink("pair_audio.h5", "/melspec_len")),
        "melspec_len",
        r"is a link into another file, pair_audio\.h5",
    ),
    "lengths of 2 dimensions": (
        "audio",
        instead("melspec_len", np.ones((ROWS, 2), int)),
        "melspec_len",
        r"has the shape \(3, 2\), expected \(n,\)",
    ),
    "lengths are one number": (
        "audio",
        instead("melspec_len", np.int64(3)),
        "melspec_len",
        r"has the shape \(\), expected \(n,\)",
    ),
    "lengths are nothing": ("audio", instead("melspec_len", h5py.Empty("i8")), "melspec_len", "has no values at all"),
    "melspec of 2 dimensions": (
        "audio",
        instead("melspec", np.ones((ROWS, 40), np.float32)),
        "melspec",
        r"has the shape \(3, 40\), expected \(n, 40, T\)",
    ),
    "melspec of 4 dimensions": (
        "audio",
        instead("melspec", np.ones((ROWS, 1, 40, 8), np.float32)),
        "melspec",
        r"has the shape \(3, 1, 40, 8\)",
    ),
    "melspec of 80 bands": (
        "audio",
        instead("melspec", np.ones((ROWS, 80, WIDTH), np.float32)),
        "melspec",
        r"has the shape \(3, 80, 24\), expected \(n, 40, T\)",
    ),
    "melspec of no frames": (
        "audio",
        instead("melspec", np.ones((ROWS, 40, 0), np.float32)),
        "melspec",
        r"has the shape \(3, 40, 0\), expected \(n, 40, T\) of at least one row and frame",
    ),
    "melspec is one number": ("audio", instead("melspec", np.float32(1)), "melspec", r"has the shape \(\)"),
    "image of 2 dimensions": (
        "image",
        instead("image", np.zeros((ROWS, 99), np.uint8)),
        "image",
        r"has the shape \(3, 99\), expected \(n,\)",
    ),
    "image of one byte a row": (
        "image",
        instead("image", np.zeros(ROWS, np.uint8)),
        "image",
        "holds uint8, expected variable-length uint8",
    ),
    "image of words": ("image", instead("image", words(ROWS)), "image", "holds text, expected variable-length uint8"),
    "image of floats": (
        "image",
        made("image", (ROWS,), h5py.vlen_dtype(np.float32)),
        "image",
        "holds variable-length float32, expected variable-length uint8",
    ),
    "image of references": (
        "image",
        made("image", (ROWS,), h5py.ref_dtype),
        "image",
        "holds references, expected variable-length uint8",
    ),
    "melspec of words": (
        "audio",
        instead("melspec", words(ROWS)),
        "melspec",
        r"has the shape \(3,\), expected \(n, 40, T\)",
    ),
    "melspec of bytes": (
        "audio",
        instead("melspec", np.zeros((ROWS, 40, WIDTH), "S4")),
        "melspec",
        "holds text, expected floating-point",
    ),
    "melspec of whole numbers": (
        "audio",
        instead("melspec", np.ones((ROWS, 40, WIDTH), np.int16)),
        "melspec",
        "holds int16, expected floating-point",
    ),
    "melspec of complex numbers": (
        "audio",
        instead("melspec", np.ones((ROWS, 40, WIDTH), np.complex64)),
        "melspec",
        "holds complex64, expected floating-point",
    ),
    "melspec of records": (
        "audio",
        instead("melspec", np.zeros((ROWS, 40, WIDTH), [("a", "f4"), ("b", "i4")])),
        "melspec",
        "holds records, expected floating-point",
    ),
    "lengths of words": ("audio", instead("melspec_len", words(ROWS)), "melspec_len", "holds text, expected whole"),
    "lengths are truths": (
        "audio",
        instead("melspec_len", np.ones(ROWS, bool)),
        "melspec_len",
        "holds bool, expected whole",
    ),
    "lengths are references": ("audio", references, "melspec_len", "holds references, expected whole numbers"),
    "lengths are records": (
        "audio",
        instead("melspec_len", np.zeros(ROWS, [("a", "i8")])),
        "melspec_len",
        "holds records, expected whole numbers",
    ),
    "a length is NaN": (
        "audio",
        value("melspec_len", 1, np.nan, float),
        "melspec",
        r"row 1 .*melspec_len is nan, expected a whole number from 1 to 24",
    ),
    "a length is infinite": (
        "audio",
        value("melspec_len", 1, np.inf, float),
        "melspec",
        r"row 1 .*melspec_len is inf, expected",
    ),
    "a length is broken": (
        "audio",
        value("melspec_len", 1, 7.5, float),
        "melspec",
        r"row 1 .*melspec_len is 7\.5, expected",
    ),
    "a length is broken in single precision": (
        "audio",
        value("melspec_len", 1, 7.001, np.float32),
        "melspec",
        r"row 1 .*melspec_len is 7\.00\d*, expected a whole number from 1 to 24",
    ),
    "lengths are rounded": (
        "audio",
        instead("melspec_len", np.ones(ROWS, np.float16)),
        "melspec_len",
        "holds float16, which rounds frames from 2048 on, expected whole numbers, best int64",
    ),
    "a length is negative": ("audio", value("melspec_len", 1, -5), "melspec", r"row 1 .*melspec_len is -5, expected"),
    "a length is zero": ("audio", value("melspec_len", 1, 0), "melspec", r"row 1 .*melspec_len is 0, expected"),
    "a length is huge": (
        "audio",
        value("melspec_len", 1, (1 << 64) - 1, np.uint64),
        "melspec",
        r"row 1 .*melspec_len is 18446744073709551615, expected",
    ),
    "a length is 1e300": ("audio", value("melspec_len", 1, 1e300, float), "melspec", r"melspec_len is 1e\+300, exp"),
    "a length is beyond the array": ("audio", value("melspec_len", 1, 25), "melspec", "row 1 .*melspec_len is 25, exp"),
    "NaN in a caption": ("audio", value("melspec", (1, 0, 3), np.nan), "melspec", "row 1 .*NaN or infinite"),
    "infinity in a caption": ("audio", value("melspec", (1, 0, 3), -np.inf), "melspec", "row 1 .*NaN or infinite"),
    "doubles beyond single precision": (
        "audio",
        value("melspec", (1, 0, 3), 1e300, float),
        "melspec",
        "row 1 .*NaN or infinite",
    ),
    "a constant caption": ("audio", value("melspec", 1, 0), "melspec", "row 1 .*holds nothing but 0"),
    "lengths too few": ("audio", instead("melspec_len", np.ones(2, int)), "melspec_len", "lengths differ: .* has 2"),
    "images too few": (
        "image",
        made("image", (2,), h5py.vlen_dtype(np.uint8), fillvalue=None, chunks=(1,)),
        "image",
        "holds no values",
    ),
    "no rows of sound": (
        "audio",
        instead("melspec", np.zeros((0, 40, WIDTH), np.float32)),
        "melspec",
        r"has the shape \(0, 40, 24\), expected \(n, 40, T\) of at least one row",
    ),
    "no rows of images": ("image", made("image", (0,), h5py.vlen_dtype(np.uint8)), "image", r"has the shape \(0,\)"),
    "160 TiB of width": (
        "audio",
        made("melspec", (ROWS, 40, HUGE)),
        "melspec",
        r"one row would take 160 TiB, expected at most 1 GiB",
    ),
    "160 TiB of width in chunks": (
        "audio",
        made("melspec", (ROWS, 40, HUGE), chunks=(1, 40, 64)),
        "melspec",
        "one row would take 160 TiB",
    ),
    "billions of rows": ("audio", made("melspec", (1 << 33, 40, WIDTH)), "melspec", "30 TiB by its shape, but 0 bytes"),
    "billions of lengths": (
        "audio",
        made("melspec_len", (1 << 40,), np.int64, chunks=(64,)),
        "melspec_len",
        "8 TiB by its shape, but 0 bytes are stored",
    ),
    "billions of images": (
        "image",
        made("image", (1 << 40,), h5py.vlen_dtype(np.uint8), chunks=(64,)),
        "image",
        "by its shape, but 0 bytes are stored",
    ),
    "lengths never written": ("audio", made("melspec_len", (ROWS,), np.int64), "melspec_len", "holds no values"),
    "virtual melspec": ("audio", virtual("melspec", (ROWS, 40, WIDTH), "f4"), "melspec", "is a virtual dataset"),
    "virtual melspec of 160 TiB": (
        "audio",
        virtual("melspec", (ROWS, 40, HUGE), "f4"),
        "melspec",
        "is a virtual dataset, whose values are in other files",
    ),
    "virtual lengths": ("audio", virtual("melspec_len", (ROWS,), "i8"), "melspec_len", "is a virtual dataset"),
    "values of another file": (
        "audio",
        elsewhere("melspec", (ROWS, 40, WIDTH), "f4"),
        "melspec",
        r"has its values in other files",
    ),
    "melspec of an unknown filter": (
        "audio",
        filtered("melspec", 32099),
        "melspec",
        "is compressed with the HDF5 filter 32099, which is not installed",
    ),
    "lengths of an unknown filter": (
        "audio",
        filtered("melspec_len", 32099),
        "melspec_len",
        "is compressed with the HDF5 filter 32099",
    ),
    "a chunk that cannot be unpacked": ("audio", spoilt_chunk, "melspec", "row 1 .*cannot be read"),
    "an image that is none": ("image", broken_image, "image", "row 1 .*cannot be decoded"),
    "named as of another pair": ("audio", tagged("0" * 32), "pair", "were not written together"),
    "a name of numbers": ("audio", tagged(np.arange(4)), "pair", "attribute pair is .*, expected text"),
    "a name of nothing": ("image", tagged(h5py.Empty("f4")), "pair", "attribute pair is .*, expected text"),
}


def cut(share):
    """Break a file off."""
    return lambda path: os.truncate(path, int(path.stat().st_size * share))


def folder_instead(path):
    """Put a folder instead of a file."""
    path.unlink()
    path.mkdir()


def pipe_instead(path):
    """Put a named pipe, which would be waited for, in a file's place."""
    path.unlink()
    os.mkfifo(path)


# name: (the file, what is done to its path, what the message says)
BYTES = {
    "sound missing": ("audio", lambda path: path.unlink(), "there is no such file"),
    "images missing": ("image", lambda path: path.unlink(), "there is no such file"),
    "sound empty": ("audio", lambda path: path.write_bytes(b""), "cannot be opened as HDF5"),
    "images are a text": ("image", lambda path: path.write_text("no HDF5 at all"), "cannot be opened as HDF5"),
    "sound is its signature": (
        "audio",
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
        "cannot be opened as HDF5",
    ),
    "sound breaks off": ("audio", cut(0.9), r"cannot be opened as HDF5 \(.*truncated"),
    "images break off": ("image", cut(0.5), r"cannot be opened as HDF5 \(.*truncated"),
    "sound is a folder": ("audio", folder_instead, "is no file"),
    "images are a pipe": ("image", pipe_instead, "is no file"),
}
