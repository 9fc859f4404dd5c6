"""Classes of the embedded world: what is held out, what documents say, which pixels features are of."""

from collections import Counter

import numpy as np
import pytest
import torch

from datasets.class_features import world
from datasets.class_features.dataset import ClassFeaturesError
from datasets.class_features.world import CLASSES, object_features, world_classes
from models.segmenter.file import load_segmenter
from models.segmenter.network import AttributeSegmenter, Scores

VALIDATION, TEST = ["red cube", "green sphere"], ["blue cylinder", "gray sphere"]


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter()


@pytest.fixture(scope="module")
def content(segmenter):
    return world_classes(segmenter, VALIDATION, TEST, 2, 1, captions_per_class=6, size=32)


def test_unseen_classes_are_in_no_training_image(content):
    assert content.names == [*(name for name in CLASSES if name not in VALIDATION + TEST), *VALIDATION, *TEST]
    assert content.seen_count == 20
    assert Counter(content.train.classes.tolist()) == dict.fromkeys(range(20), 2)
    for held, names in ((content.validation, VALIDATION), (content.test, TEST)):
        assert [content.names[row] for row in held.classes] == names
        assert held.unseen.classes.tolist() == held.classes.tolist()
        assert held.seen.classes.tolist() == list(range(20))
    parts = [content.train, *(part for held in (content.validation, content.test) for part in held[1:])]
    rows = np.concatenate([part.features for part in parts])
    assert len(np.unique(rows, axis=0)) == len(rows) == 40 + 2 * 22  # no image twice
    assert rows.shape[1] == 24 + 48 + 96


def test_documents_name_their_class_most(content):
    words = [content.words.index(word) for word in ("red", "green", "gray", "blue", "yellow")]
    for row, name in enumerate(content.names):
        colour = name.split()[0]
        if colour in ("red", "green", "gray", "blue", "yellow"):
            assert content.words[words[int(content.documents[row, words].argmax())]] == colour


def test_the_same_seed_is_the_same_set(segmenter, content):
    again = world_classes(segmenter, VALIDATION, TEST, 2, 1, captions_per_class=6, size=32)
    assert np.array_equal(again.train.features, content.train.features)
    assert np.array_equal(again.documents, content.documents)


def test_distractors_have_their_share_of_the_words():
    plain, noisy = (world._texts(["red cube", "blue sphere"], 5, 2, share, 0) for share in (0.0, 0.6))
    for one, other in zip(plain, noisy, strict=True):
        own, every = Counter(one.replace(".", "").split()), Counter(other.replace(".", "").split())
        assert own <= every
        longest = max(len(sentence.split()) for sentence in other.split("."))
        assert 0.6 <= 1 - own.total() / every.total() < 0.6 + longest / every.total()


def test_features_are_of_the_object_and_not_of_the_ground():
    """With maps that are 1 in the left half, features are the share of the object's probability that lies there."""

    class Halves(torch.nn.Module):
        def forward(self, images):
            scores = torch.zeros(len(images), 18, 16, 16)
            scores[:, 17, :, :8] = np.log(3.0)  # foreground: 3/4 on the left, 1/2 on the right
            return Scores(scores, None)

        def features(self, images):
            maps = torch.zeros(len(images), 1, 8, 8)
            maps[..., :4] = 1
            return maps, 2 * maps, torch.ones(len(images), 2, 2, 2)

    found = object_features(AttributeSegmenter(Halves()), torch.zeros(1, 3, 16, 16))
    torch.testing.assert_close(found, torch.tensor([[0.6, 1.2, 1.0, 1.0]]))


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (["red cube"], ["pink cube"], "unseen classes red cube, pink cube; expected different ones of both splits"),
        (["red cube"], ["red cube"], "expected different ones"),
        ([], ["red cube"], "expected different ones of both splits"),
        (["red cube", "red sphere"], ["red cylinder"], "no seen class is red; leave one of each"),
    ],
)
def test_classes_that_cannot_be_held_out(segmenter, validation, test, message):
    with pytest.raises(ClassFeaturesError, match=message):
        world_classes(segmenter, validation, test, 1, 1)


def test_another_network_has_no_such_features():
    with pytest.raises(ClassFeaturesError, match="the segmenter's network is a Identity, expected a SmallSegmenter"):
        world_classes(AttributeSegmenter(torch.nn.Identity()), VALIDATION, TEST, 1, 1)
