"""The two files of an HDF5 pair and the JSON that names them: what they carry, and whether they belong together.

A pair may come from anywhere. Its own shapes, types and links are checked before a value is read, so that a file that
is damaged or made to do harm is refused in one sentence.
"""

import json
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np

from common.errors import UserError
from datasets.hdf5_files import lock_remedy
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.places_manifest import base_folder, rows_of

IDENTITY = "pair"  # attribute of both files, 32 hexadecimal digits that no other pair has
LARGEST = 1 << 30  # bytes of one row, and of one chunk: what a worker reads at a time
DENSEST = 2000  # bytes that a stored byte stands for at most; deflate, the densest filter of HDF5, reaches 1032
UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError, OverflowError)  # what h5py raises
Value = TypeVar("Value")


class _Form(NamedTuple):
    """The form that a dataset of the pair must have."""

    shape: tuple[int | str, ...]  # its sizes; a letter stands for any number from 1
    kinds: str  # numpy's letters of the types that it may have; none for variable-length bytes
    words: str  # the same in words


WHOLE = "iuf"
FORMS = {
    "melspec": _Form(("n", 40, "T"), "f", "floating-point numbers"),
    # integers, or floats that are whole numbers exactly (each row is asked); those of 16 bits are rounded from 2048 on
    "melspec_len": _Form(("n",), WHOLE, "whole numbers"),
    "image": _Form(("n",), "", "variable-length uint8"),
}
AUDIO, IMAGE = ("melspec", "melspec_len"), ("image",)  # the datasets of the two files


def state_of(file: h5py.File) -> tuple[int, str | None]:
    """Return the number of rows of one of the files, and the identity that both carry; published ones have none."""
    found = tried(f"{file.filename}: attribute {IDENTITY}", lambda: file.attrs.get(IDENTITY))
    if found is not None and not isinstance(found, str):
        raise ManifestError(
            f"{file.filename}: its attribute {IDENTITY} is {str(found)[:40]!r}, expected text; make the pair again"
        )
    return file["image" if "image" in file else "melspec"].shape[0], found


def opened(path: Path, names: tuple[str, ...], manifest: Path) -> h5py.File:
    """Open a file of a pair and check its datasets ``names``; the caller closes it, and errors name the ``manifest``.

    Raises ManifestError where it is missing or no HDF5, or lacks a dataset of the expected form.
    """
    if not path.is_file():  # a pipe would be waited for
        raise ManifestError(
            f"{path}: {'is no file' if path.exists() else 'there is no such file'}; {manifest} names it"
        )
    try:
        file = h5py.File(path, "r")
    except UNREADABLE as error:
        raise ManifestError(
            f"{path}: cannot be opened as HDF5 ({_reason(error)}); {manifest} names it, copy or make it again"
            f"{lock_remedy(error)}"
        ) from error
    try:
        for name in names:
            _check_dataset(file, name)
    except ManifestError:
        file.close()
        raise
    return file


def tried(name: str, read: Callable[[], Value], kind: type[UserError] = ManifestError) -> Value:
    """Return the value of ``read``; raise an error of ``kind`` (UserError: of a row) if h5py cannot read ``name``."""
    try:
        return read()
    except UNREADABLE as error:
        raise kind(f"{name}: cannot be read ({_reason(error)}); make the file again") from error


def _reason(error: Exception) -> str:
    """Return h5py's message in one line; some of HDF5's hold the time with its line end."""
    return " ".join(str(error).split()) or type(error).__name__


def _check_dataset(file: h5py.File, name: str) -> None:
    """Refuse a file without a dataset that has the form, and the values, that its name promises."""
    link = tried(f"{file.filename}: {name}", lambda: file.get(name, getlink=True))
    if link is None:
        found = tried(f"{file.filename}: what it holds", lambda: ", ".join(file) or "nothing")
        raise ManifestError(f"{file.filename}: has no dataset {name}, found {found}; make the file again")
    if isinstance(link, h5py.ExternalLink):
        raise ManifestError(
            f"{file.filename}: {name} is a link into another file, {link.filename}; expected the dataset itself"
        )
    try:
        dataset = file[name]
    except UNREADABLE as error:
        raise ManifestError(
            f"{file.filename}: {name} is a link that leads to no dataset ({_reason(error)}); make the file again"
        ) from error
    if (other := tried(f"{file.filename}: {name}", lambda: dataset.file.filename)) != file.filename:
        raise ManifestError(
            f"{file.filename}: {name} is a link that leads into another file, {other}; expected the dataset itself"
        )
    problem = tried(f"{file.filename}: {name}", lambda: next(_errors(dataset, FORMS[name]), None))
    if problem is not None:
        raise ManifestError(f"{file.filename}: {name} {problem}; make the file again")


def _errors(dataset: h5py.HLObject, form: _Form) -> Iterator[str]:
    """Yield the errors of a dataset, each found without reading values; the first is reported."""
    if not isinstance(dataset, h5py.Dataset):
        yield f"is a {'group' if isinstance(dataset, h5py.Group) else 'named type'}, expected a dataset"
    expected = f"({', '.join(map(str, form.shape))}{',' if len(form.shape) == 1 else ''})"
    if dataset.shape is None:
        yield f"has no values at all, expected the shape {expected}"
    pairs = zip(dataset.shape, form.shape, strict=False)
    if len(dataset.shape) != len(form.shape) or any(
        size != want if isinstance(want, int) else not size for size, want in pairs
    ):
        smallest = "one row and frame" if "T" in form.shape else "one row"
        yield f"has the shape {dataset.shape}, expected {expected} of at least {smallest}"
    if (dataset.dtype.kind not in form.kinds) if form.kinds else h5py.check_vlen_dtype(dataset.dtype) != np.uint8:
        yield f"holds {_type_of(dataset.dtype)}, expected {form.words}"
    if form.kinds == WHOLE and dataset.dtype.kind == "f" and dataset.dtype.itemsize < 4:
        yield f"holds float16, which rounds frames from 2048 on, expected {form.words}, best int64"
    if dataset.is_virtual:
        yield "is a virtual dataset, whose values are in other files, expected them in this one"
    if dataset.external:
        yield "has its values in other files, expected them in this one"
    yield from _errors_of_storage(dataset)


def _errors_of_storage(dataset: h5py.Dataset) -> Iterator[str]:
    """Yield why the values of a dataset cannot be read, or not within reasonable memory."""
    plan = dataset.id.get_create_plist()
    for code in (plan.get_filter(slot)[0] for slot in range(plan.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            yield f"is compressed with the HDF5 filter {code}, which is not installed, expected gzip, lzf or none"
    size, stored = dataset.id.get_type().get_size(), dataset.id.get_storage_size()
    for what, shape in (("row", dataset.shape[1:]), ("chunk", dataset.chunks or ())):
        if (taken := prod(shape) * size) > LARGEST:
            yield (
                f"has the shape {dataset.shape}: one {what} would take {_in_bytes(taken)}, expected at most "
                f"{_in_bytes(LARGEST)}"
            )
    nominal = prod(dataset.shape) * size
    if not stored and nominal < LARGEST:
        yield f"holds no values: its {dataset.shape[0]} rows were never written"
    if nominal > stored * DENSEST:
        yield f"has {_in_bytes(nominal)} by its shape, but {stored} bytes are stored"


def _in_bytes(size: int) -> str:
    """Return a number of bytes in the largest unit that leaves at least 1."""
    names = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    unit = min(max(size.bit_length() - 1, 0) // 10, len(names) - 1)
    return f"{size / 1024**unit:.3g} {names[unit]}"


def _type_of(dtype: np.dtype) -> str:
    """Describe the type of a dataset's values in a word or two."""
    if h5py.check_string_dtype(dtype) is not None or dtype.kind in "SU":
        return "text"
    if h5py.check_ref_dtype(dtype) is not None:
        return "references"
    inner = h5py.check_vlen_dtype(dtype)
    if inner is not None:
        return f"variable-length {inner}"
    return "records" if dtype.kind == "V" else str(dtype)


def check_pair(manifest: Path, audio: Path, image: Path, rows: int | None) -> tuple[int, str | None]:
    """Compare the files of a pair with each other and with the manifest's ``rows`` (None: it lists none).

    Returns what :func:`state_of` gives for both. Raises ManifestError where a file is missing or no HDF5, lacks its
    datasets, the lengths differ, or the two were not written together.
    """
    lengths = {} if rows is None else {f"{manifest} data": rows}
    states = []
    for path, names in ((audio, AUDIO), (image, IMAGE)):
        with opened(path, names, manifest) as file:
            lengths |= {f"{path} {name}": file[name].shape[0] for name in names}
            states.append(state_of(file))
    if len(set(lengths.values())) > 1:
        raise ManifestError("lengths differ: " + ", ".join(f"{name} has {length}" for name, length in lengths.items()))
    if states[0] != states[1]:
        raise ManifestError(f"{audio} and {image} were not written together; run preprocess/hdf5.yaml again")
    return states[0]


def manifest_of(manifest: Path, audio: str, image: str, source: dict[str, Any], left_out: dict[int, str]) -> bytes:
    """Return the JSON of a pair, UTF-8: the manifest's rows in it, with its names; the pair may be moved with it.

    ``source`` is what the pair is a function of, ``left_out`` the rows that are not in it, and why.
    """
    content = json.loads(manifest.read_bytes())
    rows = [row for entry in content["data"] for row in rows_of(entry)]
    for kind, name in (("image", "image"), ("audio", "wav")):
        content[f"{kind}_base_path"] = str(base_folder(manifest, content, kind, rows[0][name]))
    content["data"] = [entry for row, entry in enumerate(rows) if row not in left_out]
    content |= {"audio_hdf5_path": audio, "image_hdf5_path": image, "made_from": source}
    content["left_out"] = [{"row": row, "reason": reason} for row, reason in left_out.items()]
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="backslashreplace")  # JSON's own escapes
