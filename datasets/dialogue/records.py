"""Dialogues in the HDF5 files of Maluuba/GeNeVA_datasets: CoDraw's and i-CLEVR's, one reader for both.

``codraw_{train,val,test}.h5``: ``background`` (128, 128, 3), and for each dialogue a group of its number: ``images``
(L, 128, 128, 3) uint8 BGR, ``utterences`` (sic; L texts with ``<teller>`` and ``<drawer>``), ``objects`` (L, 58) 0 and
1, ``coords`` (L, 58, 3): x and y in pixels of 128, depth 0 to 2, ``scene_id`` int.

``clevr_{train,val,test}.h5``: ``background`` (240, 320, 3), ``entities`` (JSON list of "shape colour"), groups named by
the scene: ``images``, ``text`` (JSON list of L), ``objects`` (L, 24), ``coords`` (L, 24, 3) with the camera's depth,
``scene_id`` text. The embedded world writes the same (datasets/world/export/iclevr.py).

``{codraw,clevr}_obj_*.h5``, of the localiser: a group for each image with ``image``, ``objects``, ``coords``,
``scene_id``. They read as dialogues of one turn without words.

CoDraw's pictures and dialogues (Kim et al., arXiv:1712.05558) are under CC BY-NC 4.0: not for commercial use.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.digests import rows_digest
from datasets.loading.rows import ManifestError, NoRowsError

log = logging.getLogger(__name__)
SIZE = 128  # pixels of the stored images and of their coordinates
CODRAW_CLASSES = 58
CODRAW_DEPTH = 2
NOT_DIALOGUES = ("background", "entities")
WORDS_OF = {"utterences": "codraw", "text": "iclevr"}
READY = {"codraw": "<drawer> ready", "iclevr": "ready"}  # what stands for the turns before the first one
UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, MemoryError, UnicodeError)


class Dialogue(NamedTuple):
    """One dialogue of L turns."""

    scene_id: str
    images: np.ndarray  # (L, 128, 128, 3) uint8 RGB after each turn
    texts: list[str]  # L instructions; none where the file has no words
    objects: np.ndarray  # (L, K) bool, what is there after each turn
    locations: np.ndarray  # (L, K, C) float32, x, y and (CoDraw) depth as shares of the image; 0 where nothing is


class DialogueFile:
    """The dialogues of one HDF5 file, which each process opens for itself.

    Args:
        path: of the file.

    Attributes:
        corpus: ``codraw`` or ``iclevr``, by the layout.
        names: of the dialogues' groups, in the order of their numbers.
        lengths: (n,) turns of each.
        num_objects: K.
        num_coords: C, 3 of CoDraw and 2 of i-CLEVR, whose depth no localiser learns.
        classes: names of the K classes: of ``entities``, of ``objects.txt`` beside the file, or their numbers.
        has_words: whether there are instructions.
        background: (128, 128, 3) uint8 RGB, the image before the first turn.

    Raises:
        ManifestError: it is missing, no HDF5, or not of such a layout.
        NoRowsError: it holds no dialogue, or none with a turn.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ManifestError(f"there is no file {self.path}: give the path of a CoDraw or i-CLEVR HDF5 file")
        self._file: tuple[int, h5py.File] | None = None
        try:
            with h5py.File(self.path, "r") as file:
                self._look(file)
        except ManifestError:
            raise
        except UNREADABLE as error:
            raise ManifestError(
                f"{self.path}: cannot be read as HDF5 of CoDraw or i-CLEVR ({_reason(error)}); copy or make it again"
            ) from error
        if self.corpus == "codraw":
            log.info("%s: CoDraw is under CC BY-NC 4.0, not for commercial use", self.path)

    def _look(self, file: h5py.File) -> None:
        """Learn what the file holds."""
        self.names = sorted((name for name in file if name not in NOT_DIALOGUES), key=_number)
        if not self.names:
            raise NoRowsError(f"{self.path}: holds no dialogue, expected groups named by numbers")
        first = file[self.names[0]]
        keys = set(first) if isinstance(first, h5py.Group) else set()
        self.single = "image" in keys
        texts = [name for name in WORDS_OF if name in keys]
        if not {"objects", "coords"} <= keys or not (self.single or ("images" in keys and len(texts) == 1)):
            raise ManifestError(
                f"{self.path}: group {self.names[0]} holds {', '.join(sorted(keys)) or 'nothing'}; expected images, "
                "objects, coords and utterences (CoDraw) or text (i-CLEVR), or image, objects and coords"
            )
        self.has_words = bool(texts)
        self._words = texts[0] if texts else ""
        self.num_objects = int(first["objects"].shape[-1])
        self.corpus = WORDS_OF.get(self._words, "codraw" if self.num_objects == CODRAW_CLASSES else "iclevr")
        self.num_coords = 3 if self.corpus == "codraw" else 2
        self.lengths = np.array([1 if self.single else file[name]["objects"].shape[0] for name in self.names], np.int64)
        without = [name for name, length in zip(self.names, self.lengths, strict=True) if not length]
        if len(without) == len(self.names):
            raise NoRowsError(f"{self.path}: none of its {len(without)} dialogues has a turn; make the file again")
        if without:
            log.warning("%s: %d of %d dialogues have no turn, %s first", self.path, len(without), len(self), without[0])
        self.classes = self._class_names(file)
        if "background" not in file and not self.single:
            raise ManifestError(f"{self.path}: holds no background, the image before the first turn; make it again")
        self.background = self._background(file)

    def _background(self, file: h5py.File) -> np.ndarray:
        if "background" not in file:
            return np.zeros((SIZE, SIZE, 3), np.uint8)
        stored = file["background"][()]
        if stored.ndim != 3 or stored.shape[2] != 3 or stored.dtype != np.uint8:
            raise ManifestError(f"{self.path}: background is {stored.dtype} {stored.shape}, expected uint8 (H, W, 3)")
        return scaled(_rgb(stored)[None])[0]

    def _class_names(self, file: h5py.File) -> list[str]:
        listed = self.path.with_name("objects.txt")
        if "entities" in file:
            names = json.loads(_text(file["entities"][()]))
        elif listed.is_file():
            names = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
        else:
            return [f"object {number}" for number in range(self.num_objects)]
        if len(names) != self.num_objects:
            raise ManifestError(
                f"{self.path}: {len(names)} classes are named, but objects have {self.num_objects} columns; expected "
                "the list of this data set"
            )
        return [str(name) for name in names]

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """Return number and digest of the dialogues' names and lengths."""
        return rows_digest(
            (f"{name} {length}" for name, length in zip(self.names, self.lengths, strict=True)), len(self)
        )

    def dialogue(self, row: int) -> Dialogue:
        """Read one dialogue; raise ManifestError where it does not fit the layout."""
        return self._read(row, slice(None))

    def texts(self, row: int) -> list[str]:
        """Read the instructions of a dialogue alone; raise ManifestError where they cannot be read."""
        name = self.names[row]
        try:
            return self._texts(self._opened()[name])
        except UNREADABLE as error:
            raise ManifestError(
                f"{self.path}: dialogue {name} cannot be read ({_reason(error)}); make it again"
            ) from error

    def turn(self, row: int, turn: int) -> tuple[Dialogue, Dialogue | None]:
        """Read one turn of a dialogue and the one before it, None before the first; both as dialogues of length 1.

        The later one's texts are those of all turns up to it. Raises ManifestError as :meth:`dialogue`.
        """
        found = self._read(row, slice(max(turn - 1, 0), turn + 1))
        one = [part[-1:] for part in (found.images, found.objects, found.locations)]
        now = Dialogue(found.scene_id, one[0], found.texts[: turn + 1], one[1], one[2])
        if not turn:
            return now, None
        return now, Dialogue(found.scene_id, found.images[:1], [], found.objects[:1], found.locations[:1])

    def object_counts(self) -> np.ndarray:
        """Return in how many images of the file an object of each class is, (K,) int64."""
        counts = np.zeros(self.num_objects, np.int64)
        for name in self.names:
            counts += (self._opened()[name]["objects"][()].reshape(-1, self.num_objects) > 0).sum(axis=0)
        return counts

    def history(self, texts: list[str]) -> str:
        """Return in one text what was said before, or what stands for it at the first turn."""
        return history(self.corpus, texts)

    def _read(self, row: int, turns: slice) -> Dialogue:
        name = self.names[row]
        try:
            group = self._opened()[name]
            if self.single:
                images, objects, coords = (group[key][()][None] for key in ("image", "objects", "coords"))
                texts: list[str] = []
            else:
                images, objects, coords = (group[key][turns] for key in ("images", "objects", "coords"))
                texts = self._texts(group)
            scene = _text(group["scene_id"][()]) if "scene_id" in group else name
        except UNREADABLE as error:
            raise ManifestError(
                f"{self.path}: dialogue {name} cannot be read ({_reason(error)}); make it again"
            ) from error
        self._check(name, images, objects, coords, texts, int(self.lengths[row]))
        return Dialogue(scene, _rgb(images), texts, objects > 0, self._locations(coords, objects > 0))

    def _texts(self, group: h5py.Group) -> list[str]:
        if not self.has_words:
            return []
        stored = group[self._words][()]
        return json.loads(_text(stored)) if self._words == "text" else [_text(one) for one in stored]

    def _check(
        self, name: str, images: np.ndarray, objects: np.ndarray, coords: np.ndarray, texts: list[Any], length: int
    ) -> None:
        """Raise a ManifestError for a dialogue of other shapes."""
        shape = images.shape[1:]
        problem = None
        if not len(images):
            problem = "has no turn"
        elif images.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
            problem = f"has images {images.dtype} {images.shape}, expected uint8 (L, {SIZE}, {SIZE}, 3)"
        elif objects.shape != (len(images), self.num_objects):
            problem = f"has objects {objects.shape}, expected {(len(images), self.num_objects)}"
        elif coords.shape != (*objects.shape, 3):
            problem = f"has coords {coords.shape}, expected {(*objects.shape, 3)}"
        elif self.has_words and (len(texts) != length or not all(isinstance(text, str) for text in texts)):
            problem = f"has {len(texts)} texts for {length} turns"
        if problem:
            raise ManifestError(f"{self.path}: dialogue {name} {problem}; make the file again")

    def _locations(self, coords: np.ndarray, there: np.ndarray) -> np.ndarray:
        scale = np.array([SIZE, SIZE, CODRAW_DEPTH], np.float32)[: self.num_coords]
        return (coords[..., : self.num_coords] / scale * there[..., None]).astype(np.float32)

    def _opened(self) -> h5py.File:
        """Return the file, opened in this process."""
        if self._file is None or self._file[0] != os.getpid():
            self._file = os.getpid(), h5py.File(self.path, "r")
        return self._file[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind where this goes to another process."""
        return {**self.__dict__, "_file": None}


def history(corpus: str, texts: Sequence[str]) -> str:
    """Return in one text what was said before in a dialogue of ``codraw`` or ``iclevr``."""
    return " ".join(texts) if texts else READY[corpus]


def scaled(images: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Return images (n, H, W, 3) uint8 as (n, size, size, 3), bilinear as ``cv2.resize``, or means of whole areas."""
    if images.shape[1:3] == (size, size):
        return images
    values = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    exact = images.shape[1] % size == 0 and images.shape[2] % size == 0
    values = F.interpolate(values, (size, size), mode="area" if exact else "bilinear")
    return values.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def in_range(images: np.ndarray) -> Tensor:
    """Return images (..., H, W, 3) uint8 as (..., 3, H, W) float32 in [-1, 1): u / 128 - 1, as LatteGAN has them."""
    values = torch.from_numpy(np.ascontiguousarray(images)).float().div_(128).sub_(1)
    return values.movedim(-1, -3)


def to_bytes(images: Tensor) -> np.ndarray:
    """Return images (..., 3, H, W) in [-1, 1] as (..., H, W, 3) uint8, the inverse of :func:`in_range`, clipped."""
    return images.detach().float().add(1).mul(128).round().clamp(0, 255).byte().movedim(-3, -1).cpu().numpy()


def _rgb(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images[..., ::-1])


def _text(value: Any) -> str:
    """Return a stored text, bytes or number as a text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(name: str) -> tuple[int, str]:
    """Return what names are sorted by: their number, where they are one."""
    return (int(name), name) if name.isdigit() else (0, name)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
