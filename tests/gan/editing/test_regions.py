"""Regions of a batch against one image at a time with scipy, hand-made maps, and the published resize."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from gan.editing.regions import RegionError, grow, heat, region, resized_region

RESIZED = Path(__file__).parents[2] / "assets" / "resized_regions.npz"


def reference(matchmap, frames, threshold, border):
    """One image as the published code has it, connected components by labelling instead of dilation."""
    matchmap = matchmap[:, :, :frames].transpose(2, 0, 1)
    frame, row, column = np.unravel_index(matchmap.argmax(), matchmap.shape)
    best = matchmap.max(axis=0)
    labelled, _ = ndimage.label(best > threshold * best.max(), structure=np.ones((3, 3)))
    connected = labelled == labelled[row, column]
    for _ in range(border):
        connected = ndimage.binary_dilation(connected, np.ones((3, 3)))
    return connected, (row, column, frame)


def published_dilation(mask, row, column):
    """``geodesic_dilation`` of the public utils.py: what is returned has been dilated once more than was cut."""
    marker = np.zeros_like(mask)
    marker[row, column] = True
    while True:
        before = marker
        marker = ndimage.binary_dilation(marker, np.ones((3, 3)))
        cut = marker & mask
        if (cut == before).all():
            return marker
        marker = cut


@pytest.mark.parametrize("border", [0, 1, 2])
@pytest.mark.parametrize("threshold", [0.95, 0.5, 0.05])
@pytest.mark.parametrize("shape", [(8, 8), (5, 9), (12, 3)])
def test_a_batch_equals_one_image_at_a_time(shape, threshold, border):
    generator = torch.Generator().manual_seed(shape[0])
    maps = torch.rand(16, *shape, 7, generator=generator) ** 3
    frames = torch.randint(1, 8, (16,), generator=generator)
    found = heat(maps, frames)
    masks, peaks = region(found, threshold, border), found.peaks
    for i in range(16):
        mask, peak = reference(maps[i].numpy(), int(frames[i]), threshold, border)
        assert tuple(peaks[i].tolist()) == peak
        np.testing.assert_array_equal(masks[i].numpy(), mask)


def test_the_default_region_is_the_published_one():
    maps = torch.rand(500, 8, 8, 1, generator=torch.Generator().manual_seed(7))
    found = heat(maps)
    for threshold in (0.95, 0.55):
        for mask, cells, (row, column, _) in zip(
            region(found, threshold), maps[..., 0].numpy(), found.peaks.tolist(), strict=True
        ):
            np.testing.assert_array_equal(mask, published_dilation(cells > threshold * cells.max(), row, column))


def test_a_single_cell_becomes_nine_as_published_or_stays_one():
    maps = torch.zeros(2, 8, 8, 1)
    maps[0, 4, 4] = maps[1, 0, 7] = 1
    assert region(heat(maps)).flatten(1).sum(1).tolist() == [9, 4]
    assert region(heat(maps), border=0).flatten(1).sum(1).tolist() == [1, 1]


def test_a_long_winding_region_is_followed_to_its_end():
    allowed = torch.zeros(1, 11, 11, dtype=torch.bool)
    allowed[0, ::4] = True  # rows 0, 4, 8 joined at alternate ends
    allowed[0, 1:4, 10] = allowed[0, 5:8, 0] = True
    allowed[0, 10] = True  # not connected
    grown = grow(allowed, torch.tensor([0]), torch.tensor([0]))
    expected = allowed.clone()
    expected[0, 10] = False
    assert torch.equal(grown, expected)


def test_diagonal_neighbours_are_connected():
    allowed = torch.eye(6, dtype=torch.bool)[None]
    assert torch.equal(grow(allowed, torch.tensor([3]), torch.tensor([3])), allowed)


def test_frames_beyond_the_caption_do_not_count():
    maps = torch.zeros(2, 3, 4, 5)
    maps[:, 1, 2, 1] = 1
    maps[:, 0, 3, 4] = 9
    peaks = heat(maps, torch.tensor([2, 5])).peaks
    assert peaks.tolist() == [[1, 2, 1], [0, 3, 4]]
    assert heat(maps, torch.tensor([0, 0])).peaks[:, 2].tolist() == [0, 0]  # at least one frame


def test_the_peak_belongs_to_the_region_even_of_maps_without_positive_values():
    maps = -torch.rand(4, 5, 6, 3, generator=torch.Generator().manual_seed(1)) - 1
    maps[3] = 0
    found = heat(maps)
    masks, peaks = region(found, border=0), found.peaks
    assert masks[torch.arange(4), peaks[:, 0], peaks[:, 1]].all()
    assert masks[3].sum() == 1
    assert not masks[:3].flatten(1).all(1).any()


def test_lower_thresholds_give_larger_regions():
    found = heat(torch.rand(8, 7, 7, 4, generator=torch.Generator().manual_seed(2)))
    sizes = [region(found, threshold).sum() for threshold in (0.95, 0.75, 0.5, -1.0)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 8 * 49


@pytest.mark.parametrize("size", [4, 8, 13, 16, 64, 128])
@pytest.mark.parametrize("shape", ["8x8", "7x7", "6x9", "16x16"])
def test_resizing_equals_opencv_to_the_pixel(shape, size):
    stored = np.load(RESIZED)  # cv2.resize of OpenCV 4.8.1 on random 0/1 bytes (probability .45)
    bits = np.unpackbits(stored[f"resized_{shape}_{size}"], axis=1)[:, : size * size]
    expected = bits.reshape(6, size, size).astype(bool)
    masks = torch.from_numpy(stored[f"masks_{shape}"])
    np.testing.assert_array_equal(resized_region(masks, size).numpy(), expected)


def test_a_region_that_would_vanish_keeps_the_cell_of_its_peak():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, 5, 2] = True
    masks[1, 4:6, 2:4] = True
    assert not resized_region(masks, 4)[0].any()
    resized = resized_region(masks, 4, torch.tensor([[5, 2], [4, 2]]))
    assert resized.nonzero().tolist() == [[0, 2, 1], [1, 2, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heat(torch.zeros(2, 3, 4)), r"Expected matchmaps \(B, H, W, T\)"),
        (lambda: heat(torch.zeros(2, 3, 4, 5), torch.ones(3)), r"one value per matchmap, \(2,\), got \(3,\)"),
        (lambda: region(heat(torch.zeros(2, 3, 4, 5)), threshold=1.5), "at most 1, got 1.5"),
        (lambda: region(heat(torch.zeros(2, 3, 4, 5)), border=-1), "0 or more, got -1"),
    ],
)
def test_errors_are_named(call, message):
    with pytest.raises(RegionError, match=message):
        call()
