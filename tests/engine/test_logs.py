"""The lines of a plain log: short, and without remarks that hide less than they take."""

import pytest

from engine.logs import short_list

NAMES = ["loss", "sampled_triplet_image_to_speech", "sampled_triplet_speech_to_image", "|g| encoders", "a", "b"]


def named(count):
    return dict.fromkeys(NAMES[:count], 1.23456)


@pytest.mark.parametrize("width", [10, 20, 60, 100])
def test_one_or_two_values_too_many_are_shown(width):
    assert short_list(named(3), width) == (
        "loss 1.235  sampled_triplet_image_to_speech 1.235  sampled_triplet_speech_to_image 1.235"
    )
    assert short_list({}, width) == ""


def test_the_loss_of_a_pair_of_directions_has_a_line_with_its_gradient():
    line = short_list(named(4), rest="in metrics.jsonl")
    assert line.endswith("sampled_triplet_speech_to_image 1.235  |g| encoders 1.235")


def test_three_are_counted_and_the_place_to_read_them_is_named():
    assert short_list(named(6), 60, "in metrics.jsonl") == (
        "loss 1.235  sampled_triplet_image_to_speech 1.235  and 4 more in metrics.jsonl"
    )
    assert short_list(named(6), 90).endswith("sampled_triplet_speech_to_image 1.235  and 3 more")
    assert "more" not in short_list(named(6), 110)
