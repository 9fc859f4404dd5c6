"""Generated dialogues on disk, in the layout in which GeNeVA-GAN's and LatteGAN's scores take them.

``<scene>/<turn>.png`` holds what was generated and ``<scene>_gt/<turn>.png`` the true image, turns from 0 on;
``<scene>.txt`` the instructions, "0: ..." a line. Others' outputs in this layout can be scored like one's own.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from common.text_files import read_text
from datasets.images import read_image
from datasets.loading.rows import ManifestError, NoRowsError
from datasets.media_files import encode_image, write_media

TRUE = "_gt"
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")


class GeneratedScene(NamedTuple):
    """One dialogue of L turns, generated and true."""

    scene_id: str
    turns: list[int]  # numbers of the turns that are there
    images: np.ndarray  # (L, H, W, 3) uint8 RGB
    truth: np.ndarray  # (L, H, W, 3) uint8 RGB


def write_scene(folder: Path, scene_id: str, images: np.ndarray, truth: np.ndarray, texts: Sequence[str]) -> None:
    """Write one generated dialogue: images and truth (L, H, W, 3) uint8 RGB, and its instructions.

    Raises UserError where they are not of as many turns, or the scene has no usable name.
    """
    if len(images) != len(truth) or len(texts) not in (0, len(images)):
        raise UserError(f"scene {scene_id}: {len(images)} images, {len(truth)} true ones and {len(texts)} texts")
    if not re.fullmatch(r"[\w.-]+", scene_id) or scene_id.startswith(".") or scene_id.endswith(TRUE):
        raise UserError(f"scene {scene_id!r} cannot name a folder: expected letters, digits, - and _")
    for name, turns in ((scene_id, images), (scene_id + TRUE, truth)):
        (folder / name).mkdir(parents=True, exist_ok=True)  # also of none
        for turn, image in enumerate(turns):
            write_media(folder / name / f"{turn}.png", encode_image(image, "png"))
    lines = "".join(f"{turn}: {text}\n" for turn, text in enumerate(texts))
    write_media(folder / f"{scene_id}.txt", lines.encode())


def scenes(folder: Path) -> list[str]:
    """Return the names of the scenes in a folder, sorted.

    Raises ManifestError where there is no folder, or a scene lacks its true images; NoRowsError where there is none.
    """
    if not folder.is_dir():
        raise ManifestError(f"there is no folder {folder} of generated dialogues")
    names = sorted((path.name for path in folder.iterdir() if path.is_dir()), key=_natural)
    found = [name for name in names if not name.endswith(TRUE)]
    if not found:
        raise NoRowsError(f"{folder}: holds no folders <scene> and <scene>{TRUE} of generated and true images")
    lacking = [name for name in found if name + TRUE not in names]
    if lacking:
        raise ManifestError(
            f"{folder}: {len(lacking)} of {len(found)} scenes have no true images, expected a folder {lacking[0]}{TRUE}"
        )
    return found


def read_scene(folder: Path, scene_id: str) -> GeneratedScene:
    """Read one scene; raise ManifestError where turns are missing on either side or an image cannot be read."""
    parts = {name: _turns(folder / name) for name in (scene_id, scene_id + TRUE)}
    made, true = parts.values()
    if sorted(made) != sorted(true) or not made:
        raise ManifestError(
            f"{folder / scene_id}: turns {sorted(made)}, but {scene_id}{TRUE} has {sorted(true)}; expected the same"
        )
    turns = sorted(made)
    try:
        images, truth = (
            np.stack([np.asarray(read_image(side[turn], allow_blank=True)) for turn in turns])
            for side in parts.values()
        )
    except (UserError, ValueError) as error:
        raise ManifestError(f"{folder / scene_id}: {error}") from error
    return GeneratedScene(scene_id, turns, images, truth)


def read_texts(folder: Path, scene_id: str) -> dict[int, str]:
    """Return the instructions of ``<scene>.txt`` by turn; none where there is no such file, as in others' folders."""
    path = folder / f"{scene_id}.txt"
    lines = read_text(path).splitlines() if path.is_file() else []
    found = (re.fullmatch(r"(\d{1,9}): ?(.*)", line) for line in lines)
    return {int(one[1]): one[2] for one in found if one}


def read_scenes(folder: Path) -> Iterator[GeneratedScene]:
    """Read all scenes of a folder in order; errors as of :func:`scenes` and :func:`read_scene`."""
    for name in scenes(folder):
        yield read_scene(folder, name)


def _turns(folder: Path) -> dict[int, Path]:
    return {
        int(path.stem): path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.stem.isdigit()
    }


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what names are sorted by: numbers in them as numbers."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
