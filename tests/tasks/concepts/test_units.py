"""Ablated units of a generator that is known: unit 0 paints red where the image is bright, others do nothing."""

import pytest
import torch

from evaluation.concepts import ConceptError
from gan.hooks import LayerNameError
from models.segmenter.labels import ATTRIBUTE_CATEGORIES, ATTRIBUTE_LABELS
from tasks.concepts.units import AblatedUnits, others

RED, BLUE = ATTRIBUTE_LABELS.index("red"), ATTRIBUTE_LABELS.index("blue")


class Paint(torch.nn.Module):
    """Latents (B, 2): red on the left half where the first is above 0, by unit 0; blue is never there."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.units = torch.nn.Identity()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, latents):
        maps = torch.zeros(len(latents), 4, 8, 8)
        maps[:, 0, :, :4] = (latents[:, 0] > 0).float()[:, None, None]
        maps[:, 1:] = torch.rand(len(latents), 3, 8, 8, generator=torch.Generator().manual_seed(0))
        return self.units(maps)[:, :1].repeat(1, 3, 1, 1) * self.weight


class Eye:
    """Sees red where an image is bright."""

    labels, categories = ATTRIBUTE_LABELS, ATTRIBUTE_CATEGORIES

    def segment(self, images):
        maps = torch.zeros(len(images), len(self.labels), 8, 8, dtype=torch.bool)
        maps[:, RED] = images[:, 0] > 0.5
        return maps


def test_a_word_vanishes_without_the_unit_that_paints_it():
    part = AblatedUnits(Paint(), Eye(), "units", number=1, samples=20, threshold=0.4, latents=12, cases=3)
    found = part.measure(["red", "blue", "tree"], [0, 1], False)
    assert set(found) == {"red", "blue"}
    red = found["red"]
    assert red.what == "1 of 4 units of units, the best: 0"
    assert list(red.effect) == [1.0, 1.0]
    assert list(red.control) == [0.0, 0.0]  # the others do nothing, and unit 0 is none of them
    assert red.cases == 6
    assert red.fit.value > red.fit.chance
    assert found["blue"].cases == 0  # no image shows it
    assert found["blue"].mean != found["blue"].mean
    assert "a unit being on in 40 % of its cells" in part.protocol()


def test_another_layer_is_refused():
    with pytest.raises(LayerNameError, match="no layer 'layer9'"):
        AblatedUnits(Paint(), Eye(), "layer9")


def test_a_control_is_never_of_the_words_own_units():
    drawn = others(8, [1, 4, 6], 20, "0 red")
    assert len(drawn) == 20
    assert all(len(set(one)) == 3 and not {1, 4, 6} & set(one) for one in drawn)
    assert {unit for one in drawn for unit in one} == {0, 2, 3, 5, 7}
    assert drawn == others(8, [1, 4, 6], 20, "0 red")
    assert drawn != others(8, [1, 4, 6], 20, "1 red")


def test_too_few_units_for_a_control_are_one_sentence():
    with pytest.raises(ConceptError, match="give a number of at most 2"):
        AblatedUnits(Paint(), Eye(), "units", number=3, samples=4).measure(["red"], [0], False)
