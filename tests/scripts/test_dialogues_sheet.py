"""The sheet of dialogues."""

import numpy as np

from datasets.dialogue.generated_folder import read_scenes, write_scene
from scripts.dialogues_sheet import CELL, COLUMNS, GAP, LETTERS, LINES, instructions, sheet


def test_true_images_stand_above_generated_ones(tmp_path):
    made, true = np.full((2, 8, 8, 3), 60, np.uint8), np.full((2, 8, 8, 3), 200, np.uint8)
    for scene in ("1", "2", "3"):
        write_scene(tmp_path, scene, made, true, ["add a cube", "add a sphere: behind it"])
    scenes = list(read_scenes(tmp_path))
    assert instructions(tmp_path, scenes[0]) == ["add a cube", "add a sphere: behind it"]
    page = np.asarray(sheet(scenes, [instructions(tmp_path, scene) for scene in scenes]))
    text, wide = LINES * (LETTERS + 4), 2 * (CELL + GAP) + 4 * GAP
    assert page.shape[1] == COLUMNS * wide - 5 * GAP
    for left in (0, CELL + GAP, wide):
        assert page[:text, left : left + CELL].min() < 60  # letters
        assert (page[text : text + CELL, left : left + CELL] == 200).all()
        assert (page[text + CELL + GAP : text + 2 * CELL + GAP, left : left + CELL] == 60).all()
