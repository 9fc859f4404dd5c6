"""What is said of two images, from objects that are made up."""

import numpy as np
import pytest

from evaluation.scene_changes import changes, kind_of, label_shares, middle
from models.segmenter.objects import SeenObject


def seen(colour="red", shape="cube", material="rubber", size="large", x=0.5, y=0.5, share=0.1):
    return SeenObject(size, material, shape, colour, x, y, (0, 0, 1, 1), share, {}, np.zeros((2, 2), bool))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([seen("blue")], [seen("red")], ["more red"]),
        ([seen(shape="cube")], [seen(shape="sphere")], ["more sphere"]),
        ([seen(material="rubber")], [seen(material="metal")], ["more metal"]),
        ([seen()], [seen()], []),
        ([seen(x=0.3)], [seen(x=0.5)], ["to the right"]),
        ([seen(x=0.5)], [seen(x=0.3)], ["to the left"]),
        ([seen(y=0.3)], [seen(y=0.5)], ["nearer"]),
        ([seen(y=0.5)], [seen(y=0.3)], ["farther"]),
        ([seen(x=0.5)], [seen(x=0.55)], []),  # too little
        ([seen(), seen("blue", "sphere", "metal", share=0.05)], [seen()], ["fewer objects"]),
        ([], [seen()], ["more red", "more cube", "more rubber", "more objects"]),
        ([seen(share=0.1)], [seen(share=0.15)], ["more red", "more cube", "more rubber", "larger"]),
        ([seen(share=0.15)], [seen(share=0.1)], ["smaller"]),
    ],
)
def test_what_appears_or_grows_is_named(before, after, expected):
    assert sorted(changes(before, after)) == sorted(expected)


def test_the_largest_change_comes_first():
    """Red gains .3, cube .1."""
    before = [seen("blue", "sphere", share=0.3), seen("blue", "cube", share=0.1)]
    after = [seen("red", "sphere", share=0.2), seen("red", "cube", share=0.2)]
    said = changes(before, after)
    assert said.index("more red") < said.index("more cube")


def test_shares_middle_and_kind():
    objects = [seen(x=0.2, y=0.4, share=0.1), seen("blue", "sphere", x=0.6, y=0.8, share=0.3)]
    assert label_shares(objects)["red"] == pytest.approx(0.1)
    assert label_shares(objects)["rubber"] == pytest.approx(0.4)
    assert label_shares(objects)["cyan"] == 0
    assert middle(objects) == pytest.approx((0.5, 0.7))
    assert middle([]) == (0.5, 0.5)
    assert kind_of(objects) == "sphere"
    assert kind_of([]) == ""
