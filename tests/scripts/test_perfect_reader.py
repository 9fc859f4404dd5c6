"""The similarity of scenes that are said alike."""

import json

import h5py
import numpy as np
import pytest

from datasets.dialogue.records import DialogueFile
from scripts.perfect_reader import median_layout, pairs, said_alike
from tests.tasks.lattegan.worlds import write_squares


def test_scenes_that_are_said_alike(tmp_path):
    write_squares(tmp_path, "val", 3, 0, turns=2)
    places = ([(60, 60), (100, 100)], [(60, 60), (20, 100)], [(60, 60), (100, 20)])
    with h5py.File(tmp_path / "clevr_val.h5", "a") as file:
        for (name, scene), where in zip(sorted((n, file[n]) for n in file if n.isdigit()), places, strict=True):
            objects, coords = np.zeros((2, 24)), np.zeros((2, 24, 3))
            for turn, kind in enumerate((int(name), 10 + int(name))):
                objects[turn:, kind], coords[turn:, kind, :2] = 1, where[turn]
            scene["objects"][...], scene["coords"][...] = objects, coords
            last = "add a red cube behind it" if int(name) == 2 else "add a red cube on the left of it"
            del scene["text"]
            scene["text"] = json.dumps(["add a blue cube", last])
    # the first two are said alike: 8 relations, of which x of both against each other and of the second against the
    # middle differ: 3 of 8
    groups = said_alike(DialogueFile(tmp_path / "clevr_val.h5"))
    assert [group.shape for group in groups] == [(2, 2, 2)]
    assert pairs(groups) == pytest.approx([1, 5 / 8])
    assert median_layout(groups) == pytest.approx([1, 5 / 8])  # of two scenes the other one is the median


def test_the_medians_of_the_other_scenes():
    """Three scenes of one object, right, right and left of the middle: each beside the medians of the other two."""
    group = np.array([[[0.8, 0.8]], [[0.6, 0.8]], [[0.1, 0.8]]])
    # x: .35 against .8 and .45 against .6 lie on other sides, .7 against .1 too; y agrees always: 1 of 2 relations
    assert median_layout([group]) == pytest.approx([1 / 2])
    assert pairs([group]) == pytest.approx([3 / 4])
