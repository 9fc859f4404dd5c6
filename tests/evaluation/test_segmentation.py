import math

import numpy as np
import pytest
import torch

from evaluation.report.segmentation import Overlay, panels, write_segmentation_report
from evaluation.segmentation import LabelCounts

TRUTH = torch.tensor([[1, 2], [2, 0]])  # one pixel of background


def numbers(colour):
    """Everything large, rubber, cube; colours as given, 0 is background."""
    foreground = (colour > 0).long()
    return torch.stack([foreground, foreground, foreground, colour, foreground])[None]


def test_counts_by_hand():
    counts = LabelCounts()
    found = torch.tensor([[1, 1], [2, 3]])  # one wrong colour, and the background taken for an object
    counts.add(numbers(found), numbers(TRUTH))
    metrics = counts.metrics()
    assert metrics["accuracy_colour"] == pytest.approx(2 / 3)
    assert metrics["accuracy_shape"] == 1
    assert metrics["accuracy_ground"] == pytest.approx(3 / 4)
    assert metrics["iou_colour"] == pytest.approx((1 / 2 + 1 / 2) / 2)  # green is not in the truth
    assert metrics["iou_shape"] == pytest.approx(3 / 4)
    assert metrics["iou_ground"] == pytest.approx((0 + 3 / 4) / 2)
    assert metrics["object_accuracy"] == pytest.approx((3 + 2 / 3) / 4)
    assert counts.by_label()["red"] == pytest.approx(1 / 2)
    assert counts.by_label()["yellow"] is None


def test_batches_and_ranks_add_up():
    one, other, both = LabelCounts(), LabelCounts(), LabelCounts()
    first, second = numbers(TRUTH), numbers(TRUTH.flip(0))
    one.add(first, second)
    other.add(second, second)
    both.add(torch.cat([first, second]), torch.cat([second, second]))
    one.merge(other)
    assert one.metrics() == both.metrics()


def test_nothing_to_count_is_not_a_number():
    counts = LabelCounts()
    counts.add(numbers(TRUTH * 0), numbers(TRUTH * 0))
    assert math.isnan(counts.metrics()["accuracy_colour"])
    assert counts.metrics()["accuracy_ground"] == 1


def test_report(tmp_path):
    image = np.full((2, 2, 3), 200, np.uint8)
    found, truth = (numbers(torch.tensor(rows))[0].numpy() for rows in ([[1, 1], [2, 3]], TRUTH.tolist()))
    shown = panels(Overlay(image, found, truth))
    assert [panel.shape for panel in shown] == [(148, 148, 3)] * 5
    assert (shown[4][0, 147] == (255, 0, 220)).all()  # a wrong colour
    assert (shown[3][0, 147] != (255, 0, 220)).any()  # its shape is right
    counts = LabelCounts()
    counts.add(torch.from_numpy(found)[None], torch.from_numpy(truth)[None])
    path = write_segmentation_report(
        tmp_path / "deep" / "report.html",
        "a <title>",
        counts.metrics(),
        counts.by_label(),
        [Overlay(image, found, truth), Overlay(image, found)],
        {"train/loss": [(0, 1.0), (10, 0.5)]},
        "seed: 1 # <b>",
    )
    page = path.read_text()
    assert "a &lt;title&gt;" in page
    assert "66.7 %" in page
    assert page.count("data:image/jpeg") == 10
    assert "<script" not in page
    assert "seed: 1 # &lt;b&gt;" in page
