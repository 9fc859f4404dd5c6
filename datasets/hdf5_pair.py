"""The two files of an HDF5 pair and the JSON that names them: what they carry, and whether they belong together."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py

from datasets.manifest import ManifestError

IDENTITY = "pair"  # attribute of both files


def new_identity() -> str:
    """Return a name that no other pair has, 32 hexadecimal digits."""
    return uuid4().hex


def state_of(file: h5py.File) -> tuple[int, str | None]:
    """Return the rows of ``file``, one of a pair, and the identity that both carry; published ones have none."""
    return file["image" if "image" in file else "melspec"].shape[0], file.attrs.get(IDENTITY)


def check_pair(manifest: Path, audio: Path, image: Path, rows: int | None) -> tuple[int, str | None]:
    """Compares the files of a pair with each other and with the manifest.

    Args:
        manifest: What names them.
        audio: The log-mels.
        image: The pictures.
        rows: Of the manifest; None where it lists none.

    Returns:
        What :func:`state_of` gives for both.

    Raises:
        ManifestError: A file is missing or no HDF5, lacks its datasets, the lengths differ, or the two were not written
            together.
    """
    lengths = {} if rows is None else {f"{manifest} data": rows}
    states = []
    for path, names in ((audio, ("melspec", "melspec_len")), (image, ("image",))):
        try:
            with h5py.File(path, "r") as file:
                lacking = [name for name in names if name not in file]
                if lacking:
                    raise ManifestError(f"{path}: has no dataset {', '.join(lacking)}, found {', '.join(file)}")
                lengths |= {f"{path} {name}": file[name].shape[0] for name in names}
                states.append(state_of(file))
        except FileNotFoundError as error:
            raise ManifestError(f"{path}: there is no such file; {manifest} names it") from error
        except OSError as error:
            raise ManifestError(f"{path}: cannot be opened as HDF5 ({error}); {manifest} names it") from error
    if len(set(lengths.values())) > 1:
        raise ManifestError("lengths differ: " + ", ".join(f"{name} has {length}" for name, length in lengths.items()))
    if states[0] != states[1]:
        raise ManifestError(f"{audio} and {image} were not written together; run preprocess/hdf5.yaml again")
    return states[0]


def manifest_of(manifest: Path, audio: str, image: str, source: dict[str, Any], left_out: dict[int, str]) -> bytes:
    """Makes the JSON of a pair: the manifest's rows that are in it, with its names; the pair may be moved with it.

    Args:
        manifest: Places JSON that the pair is made from.
        audio: Name of the file of log-mels.
        image: Name of the file of pictures.
        source: What the pair is a function of.
        left_out: Rows that are not in it, and why.

    Returns:
        The JSON, UTF-8.
    """
    content = json.loads(manifest.read_bytes())
    for base in ("image_base_path", "audio_base_path"):
        content[base] = str(manifest.parent.absolute() / Path(content.get(base, "")).expanduser())
    content["data"] = [entry for row, entry in enumerate(content["data"]) if row not in left_out]
    content |= {"audio_hdf5_path": audio, "image_hdf5_path": image, "made_from": source}
    content["left_out"] = [{"row": row, "reason": reason} for row, reason in left_out.items()]
    return json.dumps(content, indent=1, ensure_ascii=False).encode()
