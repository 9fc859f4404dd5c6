"""A tiny data set in i-CLEVR's layout: coloured squares on grey, one more a turn."""

import json

import h5py
import numpy as np

from datasets.dialogue.iclevr_release import CLASSES

COLOURS = {"gray": (90, 90, 90), "red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 180, 30)}


def write_squares(folder, split, count, seed, turns=3):
    """Write ``clevr_{split}.h5`` and ``clevr_obj_{split}.h5`` of ``count`` dialogues."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "objects.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    draws = np.random.default_rng(seed)
    with (
        h5py.File(folder / f"clevr_{split}.h5", "w") as file,
        h5py.File(folder / f"clevr_obj_{split}.h5", "w") as single,
    ):
        file["background"] = np.full((240, 320, 3), 128, np.uint8)
        file["entities"] = json.dumps(list(CLASSES))
        for scene in range(count):
            images, objects, coords, texts = [], np.zeros((turns, 24)), np.zeros((turns, 24, 3)), []
            image = np.full((128, 128, 3), 128, np.uint8)
            for turn, colour in enumerate(draws.permutation(list(COLOURS))[:turns]):
                x, y = (int(value) for value in draws.integers(20, 108, 2))
                image = image.copy()
                image[y - 14 : y + 14, x - 14 : x + 14] = COLOURS[colour][::-1]
                kind = CLASSES.index(f"cube {colour}")
                objects[turn:, kind], coords[turn:, kind] = 1, (x, y, 9.0)
                images.append(image)
                texts.append(f"add a {colour} cube")
            values = {"images": np.stack(images), "text": json.dumps(texts), "objects": objects, "coords": coords,
                      "scene_id": f"{scene:06d}"}  # fmt: skip
            group = file.create_group(f"{scene:06d}")
            for key, value in values.items():
                group[key] = value
            for turn in range(turns):
                one = single.create_group(str(len(single)))
                for key, value in {"image": images[turn], "objects": objects[turn], "coords": coords[turn]}.items():
                    one[key] = value
