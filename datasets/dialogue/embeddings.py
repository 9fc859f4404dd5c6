"""Embeddings of every instruction, as smatsumori/LatteGAN stores them beside the dialogues.

``{codraw,iclevr}_{train,valid,test}_embeddings_<name>.h5`` (*valid*, while the dialogues are ``_val.h5``): for each
dialogue's group ``turns_text_embedding`` (L, D) float32, ``turns_word_embeddings`` (L, S, D), zeros behind the words,
``turns_text_length`` (L,) int64. Attributes say what made them, of the file ``weights`` and ``reader``, of each group
``texts``; published files have none.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py
import numpy as np

from common.errors import UserError
from datasets.dialogue.records import UNREADABLE, DialogueFile
from datasets.digests import digest
from datasets.hdf5_files import continued, flush
from datasets.loading.rows import ManifestError

SPLITS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
SENTENCES, WORDS, LENGTHS = "turns_text_embedding", "turns_word_embeddings", "turns_text_length"
TEXTS = "texts"  # attribute of a group: digest of the instructions


class EmbeddedTurns(NamedTuple):
    """Embeddings of the L turns of one dialogue."""

    sentences: np.ndarray  # (L, D) float32
    words: np.ndarray  # (L, S, D) float32, zeros behind each instruction's words
    lengths: np.ndarray  # (L,) int64, 1 to S


class EmbeddingFile:
    """Embeddings of the dialogues of one file, which each process opens for itself.

    Args:
        path: of the file.
        dialogues: whose instructions they are.

    Attributes:
        text_dim: D.
        max_words: the largest S.

    Raises:
        ManifestError: it is missing, no such file, or of other dialogues.
    """

    def __init__(self, path: Path, dialogues: DialogueFile) -> None:
        self.path, self.dialogues = Path(path), dialogues
        self._file: tuple[int, h5py.File] | None = None
        if not self.path.is_file():
            raise ManifestError(f"there is no file {self.path} of embeddings: write it, or give another path")
        try:
            with h5py.File(self.path, "r") as file:
                self._look(file)
        except ManifestError:
            raise
        except UNREADABLE as error:
            raise ManifestError(
                f"{self.path}: cannot be read as embeddings ({_reason(error)}); make it again"
            ) from error

    def _look(self, file: h5py.File) -> None:
        missing = [name for name in self.dialogues.names if name not in file]
        if missing:
            raise ManifestError(
                f"{self.path}: {len(missing)} of {len(self.dialogues)} dialogues of {self.dialogues.path} have no "
                f"embeddings, the first is {missing[0]}: they are of other dialogues; make them of this file"
            )
        self.text_dim, self.max_words = 0, 0
        other = _of_other_texts(file, self.dialogues)
        if other is not None:
            raise ManifestError(
                f"{self.path}: dialogue {other} has embeddings of other instructions than those of "
                f"{self.dialogues.path}; make them of this file"
            )
        for name, length in zip(self.dialogues.names, self.dialogues.lengths, strict=True):
            shapes = [file[name][key].shape for key in (SENTENCES, WORDS, LENGTHS)]
            self.text_dim = self.text_dim or shapes[0][-1]
            words = shapes[1][1] if len(shapes[1]) == 3 else 0
            if shapes != [(length, self.text_dim), (length, words, self.text_dim), (length,)]:
                raise ManifestError(
                    f"{self.path}: dialogue {name} of {length} turns has embeddings {shapes[0]}, {shapes[1]} and "
                    f"{shapes[2]}; expected ({length}, D), ({length}, S, D) and ({length},), D {self.text_dim}: turns "
                    "are missing, or another encoder wrote some of them"
                )
            self.max_words = max(self.max_words, words)

    def of(self, row: int, turn: int | None = None) -> EmbeddedTurns:
        """Read the embeddings of a dialogue, or of one turn of it; raise ManifestError where they are damaged."""
        name = self.dialogues.names[row]
        turns = slice(None) if turn is None else slice(turn, turn + 1)
        try:
            group = self._opened()[name]
            found = EmbeddedTurns(
                group[SENTENCES][turns].astype(np.float32),
                group[WORDS][turns].astype(np.float32),
                group[LENGTHS][turns].astype(np.int64),
            )
        except UNREADABLE as error:
            raise ManifestError(
                f"{self.path}: dialogue {name} cannot be read ({_reason(error)}); make it again"
            ) from error
        if not ((found.lengths >= 1) & (found.lengths <= found.words.shape[1])).all():
            raise ManifestError(
                f"{self.path}: dialogue {name} has instructions of {found.lengths.tolist()} words, expected 1 to "
                f"{found.words.shape[1]}"
            )
        return found

    def _opened(self) -> h5py.File:
        if self._file is None or self._file[0] != os.getpid():
            self._file = os.getpid(), h5py.File(self.path, "r")
        return self._file[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind where this goes to another process."""
        return {**self.__dict__, "_file": None}


def embedding_name(corpus: str, split: str, name: str) -> str:
    """Return the published name of a file: ``codraw_valid_embeddings_exp78.h5`` of split ``val``.

    Raises UserError for a split that has none.
    """
    if split not in SPLITS:
        raise UserError(f"found split {split!r}, expected one of {', '.join(SPLITS)}")
    return f"{corpus}_{SPLITS[split]}_embeddings_{name}.h5"


def write_embeddings(
    path: Path,
    dialogues: DialogueFile,
    embed: Callable[[int], EmbeddedTurns],
    rows: Iterable[int] | None = None,
    about: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Write the embeddings of all dialogues of a file, whole or not at all; a run that was stopped goes on.

    Args:
        path: of the file to write; what is there stays where it is of these instructions and ``about``.
        dialogues: whose instructions are embedded.
        embed: returns the embeddings of the dialogue in a row.
        rows: of the dialogues to embed before this returns, all when None.
        about: attributes of the file, what makes it: digests of weights and reader. A draft of others begins anew.

    Returns:
        Number of dialogues that were embedded now; 0 where the file is there.

    Raises:
        ManifestError: another file is there.
        NoRoomError: the disk is full; the next run begins anew.
        UserError: the file cannot be written as HDF5.
    """
    if path.is_file():
        _check_made_of(path, dialogues, about)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    written = 0
    with continued(draft) as file:
        if {key: file.attrs[key] for key in file.attrs} != dict(about):
            for name in list(file):
                del file[name]
            for key in list(file.attrs):
                del file.attrs[key]
            file.attrs.update(about)
        for row in range(len(dialogues)) if rows is None else rows:
            name, texts = dialogues.names[row], _texts_digest(dialogues, row)
            if name in file and file[name].attrs.get("complete", False) and file[name].attrs.get(TEXTS) == texts:
                continue
            if name in file:
                del file[name]
            found = embed(row)
            group = file.create_group(name)
            for key, values in zip((SENTENCES, WORDS, LENGTHS), found, strict=True):
                group.create_dataset(key, data=values)
            group.attrs.update({"complete": True, TEXTS: texts})
            flush(file)
            written += 1
        complete = all(name in file for name in dialogues.names)
    if complete:
        draft.replace(path)
    return written


def _check_made_of(path: Path, dialogues: DialogueFile, about: Mapping[str, str]) -> None:
    """Raise a ManifestError where a file of embeddings is not of these instructions and ``about``, or says not."""
    remedy = "delete it, and it is written again, or give another folder or name"
    try:
        with h5py.File(path, "r") as file:
            lacking = [key for key in about if key not in file.attrs]
            others = [key for key in about if not lacking and file.attrs[key] != about[key]]
            missing = [name for name in dialogues.names if name not in file]
            texts = missing or _of_other_texts(file, dialogues) is not None
    except UNREADABLE as error:
        raise ManifestError(f"{path}: cannot be read as embeddings ({_reason(error)}); {remedy}") from error
    if lacking:
        raise ManifestError(f"{path} does not say what {' and '.join(lacking)} made it, as older ones; {remedy}")
    if others or texts:
        others += ["instructions"] if texts else []
        raise ManifestError(f"{path} has embeddings of other {' and '.join(others)} than those asked for; {remedy}")


def _of_other_texts(file: h5py.File, dialogues: DialogueFile) -> str | None:
    """Return the first dialogue whose group says that it is of other instructions."""
    for row, name in enumerate(dialogues.names):
        said = file[name].attrs.get(TEXTS) if name in file else None
        if said is not None and said != _texts_digest(dialogues, row):
            return name
    return None


def _texts_digest(dialogues: DialogueFile, row: int) -> str:
    return digest([json.dumps(dialogues.texts(row))])


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
