"""The layout of i-CLEVR (Maluuba/GeNeVA_datasets): one object added a turn, images BGR, in HDF5.

`clevr_{split}.h5`: `background` (240, 320, 3) uint8, `entities` (JSON list of "shape colour"), and for each scene a
group of its id: `images` (L, 128, 128, 3) uint8, `text` (JSON list of L), `objects` (L, 24) and `coords` (L, 24, 3)
float64 (x and y in pixels of 128, depth from the camera), cumulative over turns, `scene_id`. `clevr_obj_{split}.h5`:
a group "0", "1", ... for each image with `image`, `objects`, `coords`, `scene_id`. Two objects of the same shape
and colour share a slot, which then holds the later one, as in the published files. L is the number of objects.
"""

import io
import json
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from common.files import written_whole
from datasets.hdf5_files import created
from datasets.media_files import write_lines, write_media
from datasets.world.export.records import KINDS, SPLITS, WORK, Media, Record, Records

SIZE = 128
BACKGROUND = (240, 320)
_TEXT = h5py.string_dtype()


def iclevr_media(root: Path, record: Record, media: Media) -> None:
    """Keep a scene's turns until `iclevr_finish` gathers them; ValueError where it was rendered without turns."""
    if media.turns is None:
        raise ValueError(f"scene {record['id']} was rendered without turns, which i-CLEVR needs")
    buffer = io.BytesIO()
    np.savez(buffer, images=media.turns.images, background=media.turns.background, places=media.turns.positions)
    write_media(_work_file(root, record), buffer.getvalue())


def iclevr_finish(root: Path, records: Records) -> None:
    """Write `clevr_{split}.h5`, `clevr_obj_{split}.h5` and `objects.txt`."""
    write_lines(root / "objects.txt", KINDS)
    for split in SPLITS:
        with ExitStack() as stack:
            drafts = [
                stack.enter_context(written_whole(root / f"{name}_{split}.h5")) for name in ("clevr", "clevr_obj")
            ]
            scenes, image_file = (stack.enter_context(created(draft)) for draft in drafts)
            for record in records():
                if record["split"] == split:
                    _add_scene(scenes, image_file, record, root)


def cumulate(kinds: list[int], positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return after each turn the objects (L, 24) 0 or 1 and coords (L, 24, 3), float64, zeros where there is none.

    ``kinds`` are L indices into `KINDS` in the order of the turns, ``positions`` (L, 3) x, y, depth.
    """
    objects = np.zeros((len(kinds), len(KINDS)))
    coords = np.zeros((len(kinds), len(KINDS), 3))
    for turn, kind in enumerate(kinds):
        objects[turn:, kind] = 1.0
        coords[turn:, kind] = positions[turn]
    return objects, coords


def _add_scene(scenes: h5py.File, image_file: h5py.File, record: Record, root: Path) -> None:
    with np.load(_work_file(root, record)) as turns:
        images, background, positions = turns["images"], turns["background"], turns["places"]
    objects, coords = cumulate([item["kind"] for item in record["scene"]["objects"]], positions)
    images = np.ascontiguousarray(images[..., ::-1])
    if "background" not in scenes:
        scenes.create_dataset("background", data=np.ascontiguousarray(background[..., ::-1]))
        scenes.create_dataset("entities", data=json.dumps(list(KINDS)), dtype=_TEXT)
    group = scenes.create_group(record["id"])
    group.create_dataset("images", data=images)
    group.create_dataset("text", data=json.dumps(record["instructions"]), dtype=_TEXT)
    group.create_dataset("objects", data=objects)
    group.create_dataset("coords", data=coords)
    group.create_dataset("scene_id", data=record["id"], dtype=_TEXT)
    for turn in range(len(images)):
        single = image_file.create_group(str(len(image_file)))
        single.create_dataset("image", data=images[turn])
        single.create_dataset("objects", data=objects[turn])
        single.create_dataset("coords", data=coords[turn])
        single.create_dataset("scene_id", data=record["id"], dtype=_TEXT)


def _work_file(root: Path, record: Record) -> Path:
    return root / WORK / f"{record['id']}.npz"
