"""Warping and cloning against OpenCV's results, stored; filling by hand."""

import numpy as np
import pytest

from datasets.image_edits import CloneError, clone, fill, warp


@pytest.fixture(scope="module")
def stored(assets):
    with np.load(assets / "image_edits.npz") as arrays:
        return dict(arrays)


def far(one, other):
    return np.abs(one.astype(int) - other).max()


def test_warping_is_opencvs(stored):
    assert far(warp(stored["image"], stored["across"], stored["down"]), stored["warped"]) <= 1
    assert far(stored["image"], stored["warped"]) > 100
    nothing = np.zeros((10, 10))
    assert far(warp(stored["image"], nothing, nothing), stored["image"]) == 0


def test_cloning_is_opencvs(stored):
    found = clone(stored["other"], stored["image"], stored["mask"], (23, 20))
    assert far(found, stored["cloned"]) <= 1
    assert far(stored["image"], stored["cloned"]) > 40


def test_a_part_that_does_not_fit_is_refused(stored):
    with pytest.raises(CloneError, match="the mask is empty"):
        clone(stored["other"], stored["image"], np.zeros((40, 40), bool), (20, 20))
    with pytest.raises(CloneError, match=r"the part of 15 x 15 pixels would leave the image at \(35, 20\)"):
        clone(stored["other"], stored["image"], stored["mask"], (35, 20))
    thin = np.zeros((40, 40), bool)
    thin[3, 3:9] = True
    assert far(clone(stored["other"], stored["image"], thin, (20, 20)), stored["image"]) == 0


def test_a_hole_continues_what_is_around_it():
    """A slope is its own smoothest surface, also at a border that is not there; outside of the hole nothing changes."""
    slope = np.repeat((5 * np.arange(20))[None, :, None], 10, axis=0).repeat(3, axis=2).astype(np.uint8)
    hole = np.zeros((10, 20), bool)
    hole[0:6, 4:12] = True
    spoiled = slope.copy()
    spoiled[hole] = 255
    assert (fill(spoiled, hole) == slope).all()
    assert (fill(spoiled, np.zeros((10, 20), bool)) == spoiled).all()
