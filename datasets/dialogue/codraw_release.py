"""Convert CoDraw's release to the HDF5 files of Maluuba/GeNeVA_datasets (``scripts/codraw_dataset_generation``).

    python run.py -f lattegan/convert_codraw.yaml data.release=raw-data/CoDraw

CoDraw (arXiv:1712.05558) is under CC BY-NC 4.0, and so is what is made of it. Rules of the public code that are kept:
messages that are mere chit-chat are empty, such words and punctuation are left out; a turn without an image, or whose
image has no change, is told together with the next one; objects further away than 1000 are left out. What is better
here: a change is a true distance, so that an object that comes while another goes counts (``changes: signed_sum`` for
the published files); the spelling table is JSON; a turn whose words are all left out does not shift the images behind
it.
"""

import logging
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from common.parallel import progress
from config import check_values
from datasets.dialogue.records import CODRAW_CLASSES, SIZE
from datasets.dialogue.release_files import (
    SPLITS,
    GroupWriter,
    ReleaseError,
    read_bgr,
    read_json,
    read_lines,
    small,
)
from datasets.dialogue.words import words_of
from datasets.media_files import write_lines

log = logging.getLogger(__name__)
CHIT_CHAT = frozenset({"hi", "done", "ok", "alright", "okay", "thanks", "bye", "hello"})
FARTHEST = 1000  # coordinate beyond which an object is not in the scene
FIELDS = 8  # of an object in ``abs_d``: its picture's name, 3 numbers, x, y, depth, flip
NAMES = "10K_instance_occurence_58_names.txt"


@dataclass(frozen=True)
class CodrawRelease:
    """The release to convert.

    Args:
        release: Folder with ``output/{split}_*.json``, ``images/Scene<id>_<turn>.png``, ``background.png`` and
            ``10K_instance_occurence_58_names.txt``.
        pictures: ``png_to_object.txt`` of GeNeVA's data: a picture's name, a tab, the object's.
        folder: Gets ``codraw_{train,val,test}.h5``, ``codraw_obj_{train,val,test}.h5`` and ``objects.txt``.
        spelling: JSON of corrections, by message: ``{"flaggedTokens": [{"token", "offset", "suggestions":
            [{"suggestion"}]}]}``; None for none.
        changes: Number of objects that came or went (``distance``), or those that came less those that went, as
            published.
    """

    release: Path
    pictures: Path
    folder: Path
    spelling: Path | None = None
    changes: Literal["distance", "signed_sum"] = "distance"

    def __post_init__(self) -> None:
        check_values(self)


class Scene(NamedTuple):
    """What is drawn after a turn."""

    objects: np.ndarray  # (58,) int64 0 and 1
    coords: np.ndarray  # (58, 3) int64, x and y in pixels of 128, depth


class Drawn(NamedTuple):
    """A turn of the converted dialogue."""

    image: int  # number of its image
    text: str
    scene: Scene


def convert(data: CodrawRelease) -> None:
    """Write the HDF5 files of all splits; those that are there stay, a run that was stopped goes on.

    Args:
        data: The release and the folder.

    Raises:
        ReleaseError: A file is missing, or does not fit.
    """
    log.info("CoDraw is under CC BY-NC 4.0, not for commercial use")
    names = [line.split("\t")[0].strip().lower() for line in read_lines(data.release / NAMES)]
    if len(names) != CODRAW_CLASSES:
        raise ReleaseError(f"{data.release / NAMES} names {len(names)} objects, expected {CODRAW_CLASSES}")
    pictures = _pictures(data.pictures, names)
    spelling: Mapping[str, Any] = read_json(data.spelling) if data.spelling else {}
    background = read_bgr(data.release / "background.png")
    scale = SIZE / background.shape[1], SIZE / background.shape[0]
    data.folder.mkdir(parents=True, exist_ok=True)
    write_lines(data.folder / "objects.txt", names)
    for split in SPLITS:
        files = sorted((data.release / "output").glob(f"{split}_*.json"))
        if not files:
            raise ReleaseError(f"{data.release / 'output'} holds no {split}_*.json: run CoDraw's preprocess.py first")
        path = data.folder / f"codraw_{split}.h5"
        single = path.with_name(f"codraw_obj_{split}.h5")
        with (
            GroupWriter(path, {"background": small(background)}) as dialogues,
            GroupWriter(single, {}) as images,
            progress(f"dialogues of {split}", len(files), 0) as advance,
        ):
            count = pictured = 0
            for file in files:
                content = read_json(file)
                scenes = _scenes(content, file, pictures, scale)
                turns = list(turns_of(content["dialog"], scenes, spelling, data.changes))
                scene_id = int(content["image_id"])
                if turns:
                    dialogues.add(str(count), lambda t=turns, s=scene_id: _dialogue(data.release, s, t))
                    count += 1
                else:
                    log.info("%s: no turn changes the image, left out", file.name)
                for number, scene in enumerate(scenes):
                    images.add(str(pictured), lambda s=scene_id, n=number, one=scene: _single(data.release, s, n, one))
                    pictured += 1
                advance(1)


def turns_of(
    dialog: list[Mapping[str, Any]],
    scenes: list[Scene],
    spelling: Mapping[str, Any],
    changes: Literal["distance", "signed_sum"] = "distance",
) -> Iterator[Drawn]:
    """Yield the turns of a dialogue that change the image, with the words since the last such turn.

    ``dialog`` holds ``msg_t``, ``msg_d`` and ``abs_d`` of each turn, ``scenes`` what the turns with an image drew.
    """
    words: list[str] = []
    number, before = 0, np.zeros(CODRAW_CLASSES, np.int64)
    for turn in dialog:
        for speaker, message in (("<teller>", turn.get("msg_t", "")), ("<drawer>", turn.get("msg_d", ""))):
            words += _said(speaker, message, spelling)
        words = [word for word in words if word not in CHIT_CHAT and word not in string.punctuation]
        if len(turn.get("abs_d", "")) < 2:
            continue
        scene = scenes[number]
        number += 1
        difference = scene.objects - before
        before = scene.objects
        changed = int(difference.sum() if changes == "signed_sum" else np.abs(difference).sum())
        if changed < 1 or not words:
            continue
        yield Drawn(number - 1, " ".join(words), scene)
        words = []


def corrected(message: str, spelling: Mapping[str, Any]) -> str:
    """Replace the words of a message that the table flags, each once from its offset on."""
    for flagged in spelling.get(message, {}).get("flaggedTokens", []):
        token, offset = flagged["token"], int(flagged["offset"])
        message = message[:offset] + message[offset:].replace(token, flagged["suggestions"][0]["suggestion"], 1)
    return message


def _said(speaker: str, message: str, spelling: Mapping[str, Any]) -> list[str]:
    message = message.lower()
    if message in CHIT_CHAT:
        return []
    message = corrected(message, spelling)
    return [speaker, *words_of(message)] if message else []


def _scenes(content: Any, file: Path, pictures: Mapping[str, int], scale: tuple[float, float]) -> list[Scene]:
    """Return what each turn with an image drew."""
    try:
        drawn = [turn["abs_d"] for turn in content["dialog"] if len(turn["abs_d"]) >= 2]
        return [_scene(text, pictures, scale) for text in drawn]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ReleaseError(
            f"{file}: is no dialogue of CoDraw ({type(error).__name__}: {error}); expected image_id and dialog with "
            "msg_t, msg_d and abs_d"
        ) from error


def _scene(text: str, pictures: Mapping[str, int], scale: tuple[float, float]) -> Scene:
    fields = text.split(",")
    objects, coords = np.zeros(CODRAW_CLASSES, np.int64), np.zeros((CODRAW_CLASSES, 3), np.int64)
    for first in range(1, 1 + FIELDS * int(fields[0]), FIELDS):
        place = [float(value) for value in fields[first + 4 : first + 7]]
        if max(map(abs, place)) > FARTHEST:
            continue
        index = pictures[fields[first][:-4]]
        objects[index] = 1
        coords[index] = [int(int(place[0]) * scale[0]), int(int(place[1]) * scale[1]), int(place[2])]
    return Scene(objects, coords)


def _pictures(path: Path, names: list[str]) -> dict[str, int]:
    """Return the class of each picture by its name without suffix."""
    first = [name.split()[0] for name in names]
    found = {}
    for line in read_lines(path):
        picture, _, name = line.partition("\t")
        if name.strip() not in first:
            raise ReleaseError(f"{path} names object {name.strip()!r}, which {NAMES} has not")
        found[picture.strip()] = first.index(name.strip())
    return found


def _picture(release: Path, scene_id: int, number: int) -> np.ndarray:
    return small(read_bgr(release / "images" / f"Scene{scene_id}_{number}.png"))


def _dialogue(release: Path, scene_id: int, turns: list[Drawn]) -> dict[str, Any]:
    return {
        "images": np.stack([_picture(release, scene_id, turn.image) for turn in turns]),
        "utterences": [turn.text for turn in turns],
        "objects": np.stack([turn.scene.objects for turn in turns]),
        "coords": np.stack([turn.scene.coords for turn in turns]),
        "scene_id": scene_id,
    }


def _single(release: Path, scene_id: int, number: int, scene: Scene) -> dict[str, Any]:
    return {
        "image": _picture(release, scene_id, number),
        "objects": scene.objects,
        "coords": scene.coords,
        "scene_id": scene_id,
    }
