"""Documents with distractors: the share of words, the caption in them, the words of each kind."""

import itertools

import pytest

from datasets.world.language.distractors import DistractorError, with_distractors
from datasets.world.scene.objects import COLOURS, MATERIALS, SHAPES, SIZES

SHAPE_WORDS = {*SHAPES, "ball", "block"}
ATTRIBUTES = {*COLOURS, *MATERIALS, *SIZES, *SHAPE_WORDS, "big", "tiny", "matte", "shiny", "metallic"}
POSITIONS = {"left", "right", "front", "behind", "back", "middle", "center"}
OBJECTS = {"object", "objects", "thing", "things", "one", "two", "three"}


def caption(count):
    return " ".join(f"w{number}" for number in range(count))


def sentences(document, text):
    """Return the sentences around a caption, which is there once."""
    parts = document.split(". ")
    parts.remove(text)
    return parts


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_the_share_of_words(share):
    for count in range(3, 20):
        text = caption(count)
        document = with_distractors(text, share, seed=count)
        found = sum(len(sentence.split()) for sentence in sentences(document, text))
        # n words of a caption go with n s / (1 - s) others, to the nearest whole word
        assert found == int(count * share / (1 - share) + 0.5)
        assert abs(found / (found + count) - share) <= 0.05 + 1e-9


def test_no_share_and_shares_that_cannot_be():
    assert with_distractors("a red cube", 0.0, seed=0) == "a red cube"
    for share in (-0.1, 0.95):
        with pytest.raises(DistractorError, match=r"expected 0 to 0\.9 of a document's words"):
            with_distractors("a red cube", share, seed=0)


def test_a_seed_gives_a_document():
    documents = [with_distractors(caption(8), 0.6, seed) for seed in range(20)]
    assert documents == [with_distractors(caption(8), 0.6, seed) for seed in range(20)]
    assert len(set(documents)) == 20


def test_the_caption_stands_anywhere():
    text = caption(8)
    slots = {with_distractors(text, 0.8, seed).split(". ").index(text) for seed in range(60)}
    assert {0, 1, 2, 3} <= slots


def test_neutral_sentences_name_no_attribute():
    found = [
        set(sentence.split())
        for seed in range(300)
        for sentence in sentences(with_distractors(caption(9), 0.8, seed, hard_share=0.0), caption(9))
    ]
    assert not set().union(*found) & (ATTRIBUTES | POSITIONS | OBJECTS)
    assert len(set().union(*found)) > 100


def test_hard_sentences_name_attributes_but_no_pair_of_colour_and_shape():
    every, named = set(), 0
    for seed in range(300):
        for sentence in sentences(with_distractors(caption(9), 0.8, seed, hard_share=1.0), caption(9)):
            found = set(sentence.split())
            every |= found
            named += bool(found & ATTRIBUTES)
            assert not (found & set(COLOURS) and found & SHAPE_WORDS), sentence
            assert not found & (POSITIONS | OBJECTS), sentence
    assert every >= {*COLOURS, *SHAPE_WORDS, *MATERIALS, *SIZES}
    assert named > 900


def test_half_of_the_sentences_are_hard():
    kinds = [
        bool(set(sentence.split()) & ATTRIBUTES)
        for seed in range(200)
        for sentence in sentences(with_distractors(caption(12), 0.8, seed), caption(12))
    ]
    assert 0.4 < sum(kinds) / len(kinds) < 0.55


def test_articles():
    for seed in range(100):
        words = with_distractors(caption(9), 0.8, seed).split()
        for article, word in itertools.pairwise(words):
            assert not (article == "a" and word[0] in "aeiou"), (article, word)
            assert not (article == "an" and word[0] not in "aeiou"), (article, word)
