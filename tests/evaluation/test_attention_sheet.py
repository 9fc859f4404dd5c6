"""Sheets of attention: which words are shown, on which scale, and what lies over the image."""

import numpy as np
import pytest

from evaluation.attention_sheet import GAP, OPACITY, attention_sheet, best_words

IMAGE = np.full((128, 128, 3), 200, np.uint8)
BLACKENED = round((1 - OPACITY) * 200)  # where a map is at its lowest
LIGHTENED = round((1 - OPACITY) * 200 + OPACITY * 255)  # and at its highest


def maps_of(*areas, size=16):
    """Weights that are the given value in a square of that many cells at the top left, for each word."""
    maps = np.zeros((len(areas), size, size))
    for one, (value, side) in zip(maps, areas, strict=True):
        one[:side, :side] = value
    return maps


def cells(sheet):
    """The image, then each shown map, without the words below."""
    count = (sheet.shape[1] + GAP) // (128 + GAP)
    return [sheet[:128, index * (128 + GAP) :][:, :128] for index in range(count)]


def test_best_words_are_those_with_the_largest_sum_of_weights_above_four_over_their_number():
    # only weights above 4 / 10 count. Sums: 0.5 * 4 = 2; 0.9 * 1 = 0.9; 0.39 * 256 counts nothing; 0.45 * 9 = 4.05
    maps = maps_of((0.5, 2), (0.9, 1), (0.39, 16), (0.45, 3), *[(0.0, 0)] * 6)
    assert best_words(maps, 3) == [3, 0, 1]
    assert best_words(maps, 4) == [3, 0, 1, 2]  # no score, but the largest mean


def test_the_image_comes_first_and_the_best_words_after_it():
    maps = maps_of((0.5, 2), (0.9, 1), (0.45, 8), *[(0.0, 0)] * 7)
    sheet = attention_sheet(IMAGE, maps, list("abcdefghij"), best=2)
    image, first, second = cells(sheet)
    assert (image == 200).all()
    assert first[0, 0, 0] == second[0, 0, 0] == LIGHTENED  # each on its own scale
    assert first[-1, -1, 0] == second[-1, -1, 0] == BLACKENED
    assert (first[:, :, 0] > 200).sum() > (second[:, :, 0] > 200).sum()  # 8 x 8 before 2 x 2


def test_weights_up_to_two_over_the_number_of_words_are_left_out_of_the_best():
    maps = maps_of((0.9, 4), *[(0.0, 0)] * 9)
    maps[0, 8:, 8:] = 0.2  # 2 / 10
    _, shown = cells(attention_sheet(IMAGE, maps, list("abcdefghij"), best=1))
    assert shown[-1, -1, 0] == BLACKENED
    maps[0, 8:, 8:] = 0.21
    _, shown = cells(attention_sheet(IMAGE, maps, list("abcdefghij"), best=1))
    assert shown[-1, -1, 0] == pytest.approx(BLACKENED + OPACITY * 255 * 0.21 / 0.9, abs=1)


def test_all_words_share_one_scale_and_stand_in_their_order():
    _, first, second = cells(attention_sheet(IMAGE, maps_of((0.4, 16), (0.8, 8), (0.7, 16)), ["a", "b"]))  # 3: padding
    assert first.min() == first.max() == pytest.approx(BLACKENED + OPACITY * 255 / 2, abs=1)
    assert second[0, 0, 0] == LIGHTENED


def test_many_words_go_into_rows_and_small_images_are_enlarged():
    sheet = attention_sheet(np.zeros((64, 64, 3), np.uint8), maps_of(*[(0.1, 2)] * 8), ["word"] * 8)
    assert sheet.shape == (2 * (128 + 24), 6 * 128 + 5 * GAP, 3)
    below = sheet[128:152, 128 + GAP : 2 * 128 + GAP]
    assert below.min() < 100  # the word is there
    assert (sheet[128:152, :128] == 255).all()  # none below the image


def test_a_map_of_one_value_is_black():
    _, shown = cells(attention_sheet(IMAGE, np.zeros((1, 4, 4)), ["a"], best=5))
    assert (shown == BLACKENED).all()
