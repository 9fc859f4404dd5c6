import pytest
import torch

from models.segmenter.labels import (
    ATTRIBUTE_CATEGORIES,
    ATTRIBUTE_GROUPS,
    ATTRIBUTE_LABELS,
    GROUPS,
    SegmentationError,
    attribute_labels,
    check_images,
    label_maps,
    ready_segmenter,
)
from models.segmenter.network import AttributeSegmenter, SmallSegmenter


def test_a_segmenter_is_ready_on_the_device_in_evaluation_mode():
    network = AttributeSegmenter(SmallSegmenter([4, 4, 4])).train()
    assert ready_segmenter(network, torch.device("meta")) is network
    assert not network.training
    assert not network.network.training
    assert all(value.is_meta for value in network.parameters())

    class NoNetwork:
        labels, categories = [], []

        def segment(self, images):
            return images

    plain = NoNetwork()
    assert ready_segmenter(plain, torch.device("meta")) is plain
    with pytest.raises(
        SegmentationError, match=r"Linear is no segmenter, it has no labels, categories, segment; expec"
    ):
        ready_segmenter(torch.nn.Linear(2, 2), torch.device("meta"))
    del NoNetwork.segment
    with pytest.raises(SegmentationError, match="NoNetwork is no segmenter, it has no segment;"):
        ready_segmenter(plain, torch.device("meta"))


def test_the_published_order():
    assert len(ATTRIBUTE_LABELS) == len(set(ATTRIBUTE_LABELS)) == 18
    assert [group.first for group in GROUPS] == [0, 2, 4, 8, 16]
    assert ATTRIBUTE_LABELS[:2] == ["large", "small"]
    assert ATTRIBUTE_LABELS[8:] == [
        "gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow", "background", "foreground",
    ]  # fmt: skip
    assert ATTRIBUTE_CATEGORIES == ["size"] * 2 + ["material"] * 2 + ["shape"] * 4 + ["colour"] * 8 + ["ground"] * 2


def slow_labels(scores):
    """The published rule pixel by pixel: (argmax inside the group + 1) times the argmax of the ground."""
    _, height, width = scores.shape
    found = torch.zeros(5, height, width, dtype=torch.int64)
    for y in range(height):
        for x in range(width):
            pixel = scores[:, y, x].softmax(0)
            ground = int(pixel[16:18].argmax())
            for row, group in enumerate(ATTRIBUTE_GROUPS):
                found[row, y, x] = (int(pixel[group.channels].argmax()) + 1) * ground
            found[4, y, x] = ground
    return found


def test_labels_against_a_loop():
    scores = torch.randn(2, 18, 5, 7, generator=torch.Generator().manual_seed(0))
    numbers = attribute_labels(scores)
    assert torch.equal(numbers, torch.stack([slow_labels(part) for part in scores]))
    maps = label_maps(numbers)
    assert maps.shape == (2, 18, 5, 7)
    foreground = numbers[:, 4] > 0
    for group in ATTRIBUTE_GROUPS:
        assert torch.equal(maps[:, group.channels].sum(1), foreground.long())
    assert torch.equal(maps[:, 16], ~foreground)
    assert torch.equal(maps[:, 17], foreground)


def test_background_has_no_attributes():
    scores = torch.zeros(1, 18, 2, 2)
    scores[:, 16] = 1
    scores[:, 9] = 5
    assert label_maps(attribute_labels(scores)).sum((0, 2, 3)).tolist() == [0] * 16 + [4, 0]


def test_bad_input():
    with pytest.raises(SegmentationError, match=r"scores of shape \(1, 17, 2, 2\); expected \(B, 18, H, W\)"):
        attribute_labels(torch.zeros(1, 17, 2, 2))
    with pytest.raises(SegmentationError, match=r"expected \(B, 3, R, R\) floats in \[-1, 1\]"):
        check_images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
