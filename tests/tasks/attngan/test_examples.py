"""Pairs for TensorBoard: those that cannot be read make room for the next."""

import json
import shutil

from datasets.loading.loader import Loader
from datasets.text_image.dataset import CaptionedImages
from tasks.attngan.examples import first_examples


def test_a_broken_image_makes_room_for_the_next(pictures, tmp_path):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    rows = json.loads((folder / "validation.json").read_text())
    path = folder / rows[1]["image"]
    path.write_bytes(path.read_bytes()[:60])
    dataset = CaptionedImages(folder, "validation", train=False, resolutions=[16], on_error="skip")
    loader = Loader(dataset, 4, seed=0, train=False)
    found = first_examples(loader)
    assert [one.text for one in found] == [rows[row]["captions"][0] for row in (0, 2, 3)]
    assert found[0].image.shape == (32, 32, 3)
    assert list(loader.skipped) == [1]
