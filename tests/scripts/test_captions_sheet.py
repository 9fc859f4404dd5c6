"""The sheet of captions and images."""

import numpy as np

from scripts.captions_sheet import CELL, COLUMNS, GAP, sheet


def test_every_image_stands_above_its_caption():
    images = [np.full((8, 8, 3), value, np.uint8) for value in (10, 60, 110, 160, 210)]
    page = np.asarray(sheet(images, ["a red cube", "two blue spheres " * 8, "x", "y", "z"]))
    assert page.shape[1] == COLUMNS * (CELL + GAP) - GAP
    height = page.shape[0] // 2
    for number, image in enumerate(images):
        top, left = number // COLUMNS * height, number % COLUMNS * (CELL + GAP)
        assert (page[top : top + CELL, left : left + CELL] == image[0, 0]).all()
        assert page[top + CELL : top + height, left : left + CELL].min() < 60  # letters
