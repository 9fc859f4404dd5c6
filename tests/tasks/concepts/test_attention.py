"""Words taken away from captions: the captions, and what is found with a generator of random weights."""

import torch

from models.segmenter.labels import ATTRIBUTE_CATEGORIES, ATTRIBUTE_LABELS
from tasks.attngan.trained import TextImageSource
from tasks.concepts.attention import Caption, DroppedWords, drawn_captions
from tests.tasks.attngan.random_models import KNOWN, write_random_export

ONE = Caption({"size": "small", "colour": "red", "material": "metal", "shape": "cube"})


def test_captions_without_a_word():
    assert ONE.text() == "a small red metal cube"
    assert ONE.text("colour") == "a small metal cube"
    assert ONE.text("shape") == "a small red metal object"
    assert drawn_captions(3, 5) == drawn_captions(3, 5)
    assert drawn_captions(3, 5) != drawn_captions(3, 6)


class Eye:
    """Sees every label everywhere on the upper half."""

    labels, categories = ATTRIBUTE_LABELS, ATTRIBUTE_CATEGORIES

    def segment(self, images):
        maps = torch.zeros(len(images), len(self.labels), *images.shape[2:], dtype=torch.bool)
        maps[:, :, : images.shape[2] // 2] = True
        return maps


def test_what_is_always_seen_never_vanishes(tmp_path):
    path = write_random_export(tmp_path / "random.json")
    words = [word for word in ("red", "blue", "cube", "sphere", "tree") if word in KNOWN]
    for alone in (False, True):
        part = DroppedWords(TextImageSource(run=path), Eye(), captions=12, attention_alone=alone, batch_size=6)
        found = part.measure([*words, "tree"], [0, 1], False)
        assert set(found) == set(words)
        one = found["cube"]
        assert one.cases >= 2
        assert [value for value in (*one.effect, *one.control) if value == value and value] == []
        assert 0 <= one.fit.value <= 1
        assert one.fit.value == one.fit.chance  # all images show it on the same pixels
        assert ("hidden from the attention" in part.protocol()) is alone
