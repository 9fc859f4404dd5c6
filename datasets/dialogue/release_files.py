"""HDF5 files of dialogues that are written one group at a time, whole or not at all; a run that was stopped goes on."""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from PIL import Image

from common.errors import UserError
from common.text_files import TextError, keys_once, read_text
from datasets.dialogue.records import SIZE, scaled
from datasets.hdf5_files import continued, flush
from datasets.images import read_image

TEXT = h5py.string_dtype()
SPLITS = ("train", "val", "test")


class ReleaseError(UserError, ValueError):
    """A raw release that lacks a file, or holds one that does not fit."""


class GroupWriter:
    """Writes a file's groups in order; those of an earlier run stay.

    Args:
        path: of the file; where it is there, complete, nothing is written.
        head: datasets at its top.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.path, self.head = path, head
        self._draft = path.with_name(f".{path.name}.part")
        self._open = contextlib.ExitStack()
        self._file: h5py.File | None = None
        self.complete, self.written = path.is_file(), 0

    def __enter__(self) -> "GroupWriter":
        """Open what is there, or begin; raise UserError where that cannot be written, NoRoomError on a full disk."""
        if self.complete:
            return self
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(continued(self._draft))
            for name, value in self.head.items():
                if name not in self._file:
                    store(self._file, name, value)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; where nothing went wrong, the file is complete. Raises NoRoomError on a full disk."""
        if self._file is None:
            return
        self._file = None
        self._open.__exit__(kind, error, trace)
        if kind is None:
            self._draft.replace(self.path)

    def add(self, name: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Write a group of what ``make`` returns, unless an earlier run has."""
        if self._file is None or (name in self._file and self._file[name].attrs.get("complete", False)):
            return
        if name in self._file:
            del self._file[name]
        values = make()
        group = self._file.create_group(name)
        for key, value in values.items():
            store(group, key, value)
        group.attrs["complete"] = True
        flush(self._file)
        self.written += 1


def store(group: h5py.Group, name: str, value: Any) -> None:
    """Write a text, a list of texts, or an array."""
    texts = isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
    group.create_dataset(name, data=value, dtype=TEXT if texts else None)


def read_json(path: Path) -> Any:
    """Read a JSON file of the release; raise ReleaseError where it is missing or none."""
    try:
        return json.loads(read_text(path), object_pairs_hook=keys_once)
    except FileNotFoundError as error:
        raise ReleaseError(f"there is no {path}: expected the files of the raw release") from error
    except (ValueError, TextError, RecursionError) as error:
        raise ReleaseError(f"{path} is no JSON ({error}): copy it again") from error


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text of the release that are not empty; raise ReleaseError where it is missing."""
    try:
        return [line.strip() for line in read_text(path).splitlines() if line.strip()]
    except (FileNotFoundError, TextError) as error:
        raise ReleaseError(f"{path} cannot be read ({error}): expected the files of the raw release") from error


def read_bgr(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 BGR; raise ReleaseError where it cannot be read."""
    if not path.is_file():
        raise ReleaseError(f"there is no image {path}: expected the images of the raw release")
    try:
        image: Image.Image = read_image(path, allow_blank=True)
    except UserError as error:
        raise ReleaseError(str(error)) from error
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def small(image: np.ndarray) -> np.ndarray:
    """Scale an image (H, W, 3) to 128 x 128 pixels, as ``cv2.resize`` does."""
    return scaled(image[None], SIZE)[0]
