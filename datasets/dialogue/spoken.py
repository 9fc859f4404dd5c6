"""Spoken instructions: recordings of every distinct text by several voices, and what a speech encoder makes of them.

Two HDF5 files of one layout: ``texts`` (JSON list of n), and a group for each voice, named by its speaker, with the
attribute ``split`` (train, val, test: the voices of one are not those of another). Recordings have ``sounds`` (n,), the
bytes of FLAC files at 16 kHz. Encoded ones have ``units`` (N,) uint16 codes and ``features`` (M, C) float16 of two
layers, all texts behind one another, with ``unit_ends`` and ``feature_ends`` (n,); the file's attributes say which
layers of which encoder they are.

Shape letters: n texts, L frames of the longest instruction, P of what was said before, C channels.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from config.limits import Count
from datasets.dialogue.records import UNREADABLE
from datasets.hdf5_files import continued, flush

VoiceSplit = Literal["train", "val", "test"]
SPLITS: dict[str, VoiceSplit] = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
MAX_PREVIOUS = 400  # frames of what was said before, 16 s
REMEDY = "make it with lattegan/speak_world.yaml"
_BYTES = h5py.vlen_dtype(np.uint8)


class SpokenError(UserError, ValueError):
    """Recordings that are missing or damaged, or of other instructions."""


class SpokenVoice(NamedTuple):
    """One voice and its split."""

    speaker: str
    split: VoiceSplit


class _SpokenInstructions:
    """What both readers share: frames of each text by each voice, as one layer has them, in memory.

    Said once a dialogue: all turns of one are by the same voice. A training sample draws the voice, and in evaluation
    it follows from the dialogue's number.
    """

    kind: str  # units or features
    names: tuple[str, str, str, str]

    def __init__(self, path: Path, max_previous: int, voices: VoiceSplit | None, shuffled: bool) -> None:
        self.path, self.max_previous, self.voices, self.shuffled = Path(path), max_previous, voices, shuffled
        single = self.kind.removesuffix("s")
        if not self.path.is_file():
            raise SpokenError(f"there is no file {path} of spoken instructions: {REMEDY}, or give another path")
        try:
            with h5py.File(self.path, "r") as file:
                self._rows = {text: row for row, text in enumerate(json.loads(file["texts"][()]))}
                self.layer = str(file.attrs[f"{single}_layer"])
                self.encoder = str(file.attrs["encoder"])
                self._by_split: dict[str, list[tuple[Tensor, np.ndarray]]] = {}
                for name in sorted(name for name in file if name != "texts"):
                    group = file[name]
                    frames, ends = torch.from_numpy(self._stored(group[self.kind][()])), group[f"{single}_ends"][()]
                    if len(ends) != len(self._rows) or (len(ends) and ends[-1] != len(frames)):
                        raise ValueError(f"voice {name} has {len(ends)} texts of {len(self._rows)}")
                    self._by_split.setdefault(str(group.attrs["split"]), []).append((frames, ends))
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise SpokenError(f"{path}: cannot be read as spoken instructions ({reason}); {REMEDY}") from error
        lengths = [np.diff(ends, prepend=0).max() for said in self._by_split.values() for _, ends in said]
        if not self._rows or not lengths:
            raise SpokenError(f"{path}: holds no recording; {REMEDY}")
        self.max_frames = int(max(lengths))

    @staticmethod
    def _stored(values: np.ndarray) -> np.ndarray:
        """Return what a file holds as it stays in memory."""
        return values

    def read(self, said: Sequence[str], split: str, speaker: int | None) -> dict[str, Tensor]:
        """Read what was said before and, as the last of ``said``, an instruction.

        Args:
            said: texts of the turns.
            split: of the dialogue, which decides whose voices say it.
            speaker: any number, the same one means the same voice; None draws it.

        Raises:
            SpokenError: nobody of the split says such a text.
        """
        frames, ends = self._voice(split, speaker)
        rows = [self._row(text) for text in said]
        if self.shuffled:
            draws = None if speaker is None else torch.Generator().manual_seed(speaker)
            rows = torch.randint(len(self._rows), (len(rows),), generator=draws).tolist()
        parts = [frames[ends[row - 1] if row else 0 : ends[row]] for row in rows]
        turn = padded_turn(parts[:-1], parts[-1], self.max_previous, self.max_frames)
        return dict(zip(self.names, turn, strict=True))

    def contents(self) -> list[bytes | str]:
        """Return what is digested of it: settings, texts, and all frames of all voices."""
        found: list[bytes | str] = [
            json.dumps([self.max_previous, self.voices, self.shuffled, self.layer, self.encoder, *self._rows])
        ]
        for split, said in sorted(self._by_split.items()):
            found += [part for frames, ends in said for part in (split, frames.numpy().tobytes(), ends.tobytes())]
        return found

    def _voice(self, split: str, speaker: int | None) -> tuple[Tensor, np.ndarray]:
        wanted = self.voices or SPLITS.get(split, split)
        known = self._by_split.get(wanted)
        if not known:
            raise SpokenError(
                f"{self.path}: has no voice of the {wanted} split, only of {', '.join(self._by_split)}; {REMEDY}"
            )
        return known[int(torch.randint(len(known), ())) if speaker is None else speaker % len(known)]

    def _row(self, text: str) -> int:
        if text not in self._rows:
            raise SpokenError(
                f"{self.path}: nobody says {text!r} in it, it is of other dialogues; delete it and {REMEDY} of these"
            )
        return self._rows[text]


class SpokenUnits(_SpokenInstructions):
    """Codes of a quantised layer: ``previous_units`` (P,) and ``nprevious``, ``units`` (L,) and ``nunits``.

    Args:
        path: encoded recordings (lattegan/speak_world.yaml).
        max_previous: P, the last frames of what was said before.
        voices: whose voices say everything; None: those of the split.
        shuffled: a control: another instruction is said instead of each.

    Raises:
        SpokenError: the file is missing or damaged.
    """

    kind = "units"
    names = ("previous_units", "nprevious", "units", "nunits")

    def __init__(
        self, path: Path, max_previous: Count = MAX_PREVIOUS, voices: VoiceSplit | None = None, shuffled: bool = False
    ) -> None:
        super().__init__(path, max_previous, voices, shuffled)

    @staticmethod
    def _stored(values: np.ndarray) -> np.ndarray:
        return values.astype(np.int32)


class SpokenFeatures(_SpokenInstructions):
    """Frames of a layer: ``previous_features`` (P, C) and ``nprevious``, ``features`` (L, C) and ``nfeatures``.

    Args:
        path: encoded recordings (lattegan/speak_world.yaml).
        max_previous: P, the last frames of what was said before.
        voices: whose voices say everything; None: those of the split.
        shuffled: a control: another instruction is said instead of each.

    Raises:
        SpokenError: the file is missing or damaged.
    """

    kind = "features"
    names = ("previous_features", "nprevious", "features", "nfeatures")

    def __init__(
        self, path: Path, max_previous: Count = MAX_PREVIOUS, voices: VoiceSplit | None = None, shuffled: bool = False
    ) -> None:
        super().__init__(path, max_previous, voices, shuffled)


def padded_turn(
    before: Sequence[Tensor], now: Tensor, max_previous: int, max_frames: int | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what an encoder of spoken instructions takes: frames before, their number, frames now, their number.

    Args:
        before: frames of what was said before, (l,) or (l, C) each; its last ``max_previous`` are kept.
        now: frames of the instruction.
        max_previous: P.
        max_frames: L; None: no padding.
    """
    previous = torch.cat([*before, now[:0]])[-max_previous:]
    counts = max(len(previous), 1) if max_frames is None else max_previous, max_frames or len(now)
    first, second = (_padded(part, count) for part, count in zip((previous, now), counts, strict=True))
    return first, torch.tensor(len(previous)), second, torch.tensor(len(now))


def _padded(frames: Tensor, count: int) -> Tensor:
    """Return codes as int64 or features as float32 with zeros behind them."""
    found = frames.float() if frames.is_floating_point() else frames.long()
    return torch.cat((found, found.new_zeros(count - len(found), *found.shape[1:])))


def write_voices(
    path: Path,
    texts: Sequence[str],
    voices: Sequence[SpokenVoice],
    make: Callable[[SpokenVoice], dict[str, Any]],
    about: dict[str, Any],
) -> int:
    """Write one of the two files, whole or not at all; a run that was stopped goes on behind its last voice.

    Voices of a draft that are of another split now are made anew.

    Args:
        path: of the file; one that is there stays where it is of the same texts, voices and ``about``.
        texts: distinct texts.
        voices: who says them.
        make: returns the datasets of a voice.
        about: attributes of the file.

    Returns:
        Number of voices that were written now.

    Raises:
        SpokenError: another file is there.
        NoRoomError: the disk is full; the next run begins anew.
        UserError: the file cannot be written as HDF5.
    """
    draft = path.with_name(f".{path.name}.part")
    if path.is_file():
        with _readable(path) as file:
            try:
                found = _differs(file, texts, voices, about)
            except UNREADABLE as error:
                reason = " ".join(str(error).split())
                raise SpokenError(
                    f"{path}: cannot be read as spoken instructions ({reason}); delete it and {REMEDY}"
                ) from error
        if found:
            raise SpokenError(f"{path} is of other {found} than those asked for; delete it, or give another path")
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    if draft.is_file():
        try:
            with h5py.File(draft, "r", locking=False) as file:
                stale = bool(_differs(file, texts, [], about))
        except UNREADABLE:
            stale = True
        if stale:
            draft.unlink()
    written = 0
    with continued(draft) as file:
        if "texts" not in file:
            file.attrs.update(about)
            file["texts"] = json.dumps(list(texts))
        for name in set(file) - {"texts"} - {voice.speaker for voice in voices}:
            del file[name]
        for voice in voices:
            kept = file[voice.speaker].attrs if voice.speaker in file else {}
            if kept.get("complete", False) and kept.get("split") == voice.split:
                continue
            if voice.speaker in file:
                del file[voice.speaker]
            made = make(voice)
            group = file.create_group(voice.speaker)
            group.attrs["split"] = voice.split
            for key, values in made.items():
                group.create_dataset(key, data=values, dtype=_BYTES if values.dtype == object else None)
            group.attrs["complete"] = True
            flush(file)
            written += 1
    draft.replace(path)
    return written


def recordings(path: Path) -> Iterator[tuple[SpokenVoice, list[bytes]]]:
    """Yield each voice of a file of recordings and its n FLAC files; raise SpokenError where it cannot be read."""
    with _readable(path) as file:
        for name in sorted(name for name in file if name != "texts"):
            try:
                found = [bytes(sound) for sound in file[name]["sounds"]]
                voice = SpokenVoice(name, str(file[name].attrs["split"]))
            except UNREADABLE as error:
                raise SpokenError(f"{path}: voice {name} cannot be read; delete it and {REMEDY}") from error
            yield voice, found


def _readable(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except UNREADABLE as error:
        raise SpokenError(f"{path}: cannot be read as HDF5 ({error}); delete it and {REMEDY}") from error


def _differs(file: h5py.File, texts: Sequence[str], voices: Sequence[SpokenVoice], about: dict[str, Any]) -> str | None:
    """Return what of a file is not as it is asked for."""
    if "texts" not in file or json.loads(file["texts"][()]) != list(texts):
        return "instructions"
    if any(file.attrs.get(key) != value for key, value in about.items()):
        return f"settings ({', '.join(f'{key} {file.attrs.get(key)}' for key in about)})"
    found = {(name, file[name].attrs.get("split")) for name in file if name != "texts"}
    return "voices" if voices and found != set(voices) else None
