import pytest
import torch

from models.speech_maps import pooled_lengths, speech_maps


@pytest.mark.parametrize(
    ("nframes", "frames_in", "frames_out", "expected"),
    [
        ([1024, 1023, 64, 63, 1], 1024, 16, [16, 15, 1, 0, 0]),  # floor, down to no frame at all
        ([131, 130], 131, 17, [16, 16]),  # 131 / 17 = 7.7 rounds to 8
        ([20, 13], 20, 8, [8, 6]),  # 2.5 rounds to even, 2, as Python's round; never more than T'
        ([5], 5, 5, [5]),
    ],
)
def test_pooled_lengths(nframes, frames_in, frames_out, expected):
    lengths = pooled_lengths(torch.tensor(nframes), frames_in, frames_out)
    assert lengths.tolist() == expected
    assert lengths.dtype == torch.int64


def test_no_lengths():
    assert pooled_lengths(None, 100, 10) is None
    assert pooled_lengths(None, 100, 10, batch=2).tolist() == [10, 10]
    maps = speech_maps(torch.zeros(3, 4, 10), None, 100)
    assert maps.nframes.tolist() == [10, 10, 10]
    assert maps.pooling == 10


def test_nothing_left():
    with pytest.raises(ValueError, match="at least one frame each, got 3 in, 0 out"):
        pooled_lengths(torch.tensor([3]), 3, 0)
