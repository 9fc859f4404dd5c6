"""Frames on disk and the stretches of them that items are."""

from decimal import Decimal

import numpy as np
import pytest
import torch

from evaluation.abx.frames import FrameFile, Stretches, distributions, power
from evaluation.abx.items import AbxError, Item


def item(onset, offset, file="u"):
    return Item(file, Decimal(onset), Decimal(offset), "a", "x", "y", "s")


@pytest.fixture
def frames(tmp_path):
    """Two utterances of ten and five frames of 40 ms; each frame holds its number."""
    made = FrameFile(tmp_path / "f", "quant3")
    made.add("first", np.full((10, 2), -1, np.float32), 0.01 * 4)
    made.add("u", np.arange(10, dtype=np.float32).reshape(5, 2), 0.04)
    return made


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("0", "0.2"), (0, 5)),
        (("0.02", "0.06"), (0, 2)),  # middles at both ends belong to the item
        (("0.0201", "0.0595"), (0, 1)),  # no middle at all: the frame in which the item's middle lies
        (("0.061", "0.09"), (1, 2)),
        (("0.05", "0.11"), (1, 3)),
        (("0.15", "0.26"), (4, 5)),  # cut at the last frame
        (("0.21", "0.23"), (4, 5)),
    ],
)
def test_frames_whose_middle_lies_in_the_item(frames, times, expected):
    start, end = frames.stretch(item(*times))
    assert (start - 10, end - 10) == expected
    assert frames.is_short(item(*times)) == (times in (("0.0201", "0.0595"), ("0.061", "0.09")))


def test_batches_are_padded_with_zeros(frames):
    rows = [item("0", "0.2"), item("0.02", "0.06"), item("0", "0.04", "first")]
    stretches = Stretches(frames, rows, [0, 1], lambda values: values + 1, lambda *parts: parts, is_normalized=False)
    data, lengths = stretches.batched([1, 0, 1])
    assert lengths.tolist() == [2, 5, 2]
    assert data[:, :, 0].tolist() == [[1, 3, 0, 0, 0], [1, 3, 5, 7, 9], [1, 3, 0, 0, 0]]
    assert stretches.lengths([0, 1, 2]).tolist() == [5, 2, 0]
    assert (len(stretches), stretches.longest) == (3, 5)
    assert torch.equal(stretches[1], data[0, :2])


def test_features_that_do_not_fit(frames):
    with pytest.raises(
        AbxError, match=r"v: found frames of 0.04 s with 3 values, expected 0.04 s with 2 as in the first"
    ):
        frames.add("v", np.zeros((2, 3), np.float32), 0.04)
    with pytest.raises(AbxError, match=r"found frames of 0.02 s"):
        frames.add("v", np.zeros((2, 2), np.float32), 0.02)
    with pytest.raises(AbxError, match="quant3 of v is not finite, so it cannot be compared"):
        frames.add("v", np.full((2, 2), np.nan, np.float32), 0.04)


def test_what_is_negative_is_counted(frames):
    assert frames.negative == 20
    assert frames.total == 20 + 45


def test_distributions():
    values = torch.tensor([[1.0, 3.0, -2.0], [0.0, -1.0, 0.0], [1e-30, 0.0, 1e-30]])
    shares = distributions(values, "shares")
    expected = torch.tensor([[0.25, 0.75, 0.0], [1 / 3] * 3, [0.5, 0, 0.5]])
    torch.testing.assert_close(shares, expected)
    torch.testing.assert_close(distributions(values, "softmax").sum(1), torch.ones(3))
    torch.testing.assert_close(power(torch.tensor([0.0, -10.0, -80.0])), torch.tensor([1.0, 0.1, 1e-8]))
