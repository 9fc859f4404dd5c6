"""Captions: true of their scenes (read back by an independent reader), varied, and repeatable."""

import re

import pytest

from datasets.world.language.captions import captions
from datasets.world.language.instructions import instructions
from datasets.world.scene.objects import Camera, Scene, SceneError, SceneObject, project
from datasets.world.scene.sample import sample_scene
from tests.datasets.world.language.caption_reader import NUMBERS, WORDS, Phrase, Reading

CAMERA = Camera((0.0, -9.6, 5.6), (0.0, 0.0, 0.2))
RED = SceneObject("cube", "red", "rubber", "large", -1.5, 0.0)
BLUE = SceneObject("sphere", "blue", "metal", "small", 1.5, 0.5)
PINNED = [
    "an image of a blue sphere and a matte red block",
    "from left to right we see a red cube made of rubber and a blue sphere",
    "the image shows two objects, a metallic blue sphere and a large red block",
    "a photo of a small sphere right of a red block made of rubber",
]
TWINS = Scene((RED, SceneObject("cube", "red", "rubber", "large", 1.5, 0.0)), CAMERA)
FUNCTION_WORDS = """
a an the and is are there here i see can we you look at picture photo image scene of with this shows has contains it to
left right on in front back behind middle center from made object objects thing things
"""


@pytest.fixture(scope="module")
def scenes():
    return [sample_scene(seed) for seed in range(120)]


@pytest.mark.parametrize("style", ["complete", "attributes", "objects", "full", "short", "mixed"])
def test_every_caption_is_true(scenes, style):
    for seed, scene in enumerate(scenes):
        for text in captions(scene, 8, seed, style):
            assert Reading(scene, text).true, (text, scene)


@pytest.mark.parametrize(
    "text",
    [
        "a red ball",
        "two red cubes",
        "there is a red cube and a red cube",
        "a red cube to the right of a blue ball",
        "the blue sphere is left of the red block",
        "a red cube on the right",
        "a red cube on the right and a blue ball on the right",
        "a red cube in the front on the left and a blue ball",
        "three objects, a red cube and a blue ball",
        "from left to right a blue ball and a red cube",
        "a red cube and a blue ball, the blue ball is on the left of the red cube",
        "a small red cube",
        "a red metal cube",
        "a blue ball made of rubber",
    ],
)
def test_the_reader_refuses_what_is_false(text):
    assert not Reading(Scene((RED, BLUE), CAMERA), text).true


@pytest.mark.parametrize(
    "text",
    [
        "a red cube",
        "an object",
        "i see two things",
        "there is a big red cube and a tiny shiny blue ball",
        "a red cube to the left of a blue ball",
        "a red cube on the left",
        "a blue ball on the right and a red cube on the left",
        "two objects, a red cube and a blue ball made of metal",
        "from left to right, a red cube and a blue ball",
        "a red cube and a blue ball, with the blue ball behind the red cube",
    ],
)
def test_the_reader_accepts_what_is_true(text):
    assert Reading(Scene((RED, BLUE), CAMERA), text).true


def test_full_captions_name_every_object_by_colour_and_shape(scenes):
    for seed, scene in enumerate(scenes):
        for text in captions(scene, 5, seed, "full"):
            phrases = [phrase for phrase in Reading(scene, text).mentioned if not phrase.definite]
            assert sum(phrase.number for phrase in phrases) == len(scene.objects), text
            assert all({"colour", "shape"} <= set(phrase.wanted) for phrase in phrases), text


def test_complete_captions_name_every_attribute_and_place_of_all_that_have_no_twin(scenes):
    for seed, scene in enumerate(scenes):
        for text in captions(scene, 4, seed, "complete"):
            phrases = Reading(scene, text).mentioned
            assert sum(phrase.number for phrase in phrases) == len(scene.objects), text
            assert all(len(phrase.wanted) == 4 and bool(phrase.bounds) == (phrase.number == 1) for phrase in phrases)


def test_captions_of_attributes_name_all_of_them_and_no_place(scenes):
    for seed, scene in enumerate(scenes):
        for text in captions(scene, 4, seed, "attributes"):
            phrases = Reading(scene, text).mentioned
            assert sum(phrase.number for phrase in phrases) == len(scene.objects), text
            assert all(len(phrase.wanted) == 4 and not phrase.bounds for phrase in phrases), text


def test_captions_of_objects_name_all_of_them_by_colour_and_shape_and_no_place(scenes):
    for seed, scene in enumerate(scenes):
        for text in captions(scene, 4, seed, "objects"):
            phrases = Reading(scene, text).mentioned
            assert sum(phrase.number for phrase in phrases) == len(scene.objects), text
            assert all({"colour", "shape"} <= set(phrase.wanted) and not phrase.bounds for phrase in phrases), text


def test_short_captions_name_one_or_two_objects(scenes):
    for seed, scene in enumerate(scenes):
        for text in captions(scene, 5, seed, "short"):
            assert 1 <= sum(phrase.number for phrase in Reading(scene, text).mentioned) <= 2, text
            assert len(text.split()) <= 20


def test_captions_are_distinct_and_many():
    lonely = Scene((RED,), CAMERA)
    for style in ("complete", "attributes", "objects", "full", "short", "mixed"):
        for seed in range(20):
            assert len(set(captions(lonely, 10, seed, style))) == 10
    texts = [text for seed in range(100) for text in captions(sample_scene(seed), 10, seed)]
    assert len(set(texts)) > 900


def test_all_words_and_forms_occur(scenes):
    text = "\n".join(caption for seed, scene in enumerate(scenes) for caption in captions(scene, 10, seed))
    words = set(text.replace(",", "").split())
    for values in WORDS.values():
        assert set(values) <= words
    assert {"two", "three", "four", "five", "objects", "things", "made", "an"} <= words
    for form in (
        "in front of",
        "behind",
        "to the left of",
        "right of",
        "from left to right",
        "in the middle",
        "is on the",
    ):
        assert form in text, form
    assert words <= set(NUMBERS) | _known()


def _known() -> set[str]:
    words = {word for values in WORDS.values() for name in values for word in (name, f"{name}s")}
    return words | set(re.findall(r"\w+", FUNCTION_WORDS))


def test_numbers_and_twins():
    texts = captions(TWINS, 40, 0)
    assert any("two big red" in text or "two large red" in text or "two red" in text for text in texts)
    assert not any(text.startswith("the red") for text in texts)  # there are two


def test_a_seed_always_gives_these_captions():
    scene = Scene((RED, BLUE), CAMERA)
    assert captions(scene, 4, 1) == PINNED
    assert captions(scene, 2, 1) == PINNED[:2]
    assert captions(scene, 4, 1) != captions(scene, 4, 2)


def test_instructions_of_iclevr_by_hand():
    objects = [
        SceneObject("cube", "red", "rubber", "large", 0.0, 0.0),
        SceneObject("cylinder", "cyan", "rubber", "large", -1.6, 1.6),
        SceneObject("sphere", "gray", "metal", "small", 0.6, 1.6),
        SceneObject("sphere", "blue", "metal", "small", 0.6, -1.6),
        SceneObject("cube", "blue", "metal", "small", -1.2, -2.2),
    ]
    assert instructions(Scene(tuple(objects), CAMERA)) == [
        "add a red cube at the center",
        "add a cyan cylinder behind it on the left",
        "add a gray sphere on the right of it",
        "add a blue sphere in front of it",
        "add a blue cube on the left of it",
    ]
    assert instructions(Scene((), CAMERA)) == []


@pytest.mark.parametrize("varied", [False, True])
def test_instructions_are_true(scenes, varied):
    pattern = re.compile(r"(?:now add|then draw|add|put|place|draw) (an? .*?) ((?:on|in front|behind|at) .*)")
    for seed, scene in enumerate(scenes):
        texts = instructions(scene, seed, varied)
        assert len(texts) == len(scene.objects)
        where = project(scene, 1)
        for turn, text in enumerate(texts):
            what, side = pattern.fullmatch(text).groups()
            assert turn in Phrase(what).fits(scene), text
            anchor = re.search(r"(?:of|behind) (it|the .*?)(?: on the (?:left|right))?$", side)
            assert (anchor is not None) == (turn > 0), text
            _check_side(side, where[turn], where[turn - 1] if turn else None, text)
            if turn and anchor[1] != "it":
                assert Phrase(anchor[1]).fits(scene.prefix(turn)) == [turn - 1], text


def _check_side(side, place, anchor, text):
    x, y, depth = place
    if anchor is None:
        if side == "at the center":
            assert abs(x - 0.5) < 0.15, text
            assert abs(y - 0.5) < 0.15, text
        deeper, across = 0.5 - y, x - 0.5
    else:
        deeper, across = depth - anchor[2], x - anchor[0]
    assert ("front" not in side) or deeper < 0, text
    assert ("behind" not in side and "back" not in side) or deeper > 0, text
    assert ("left" not in side) or across < 0, text
    assert ("right" not in side) or across > 0, text


def test_instructions_vary_with_the_seed_only_when_asked():
    scene = sample_scene(3, 5, 5)
    assert instructions(scene, 1) == instructions(scene, 2)
    assert len({tuple(instructions(scene, seed, varied=True)) for seed in range(10)}) == 10


def test_impossible_arguments_are_refused():
    scene = Scene((RED,), CAMERA)
    with pytest.raises(SceneError, match="style='long'; expected one of complete, attributes, objects, full, short"):
        captions(scene, 1, 0, "long")
    with pytest.raises(SceneError, match="empty scene has no captions"):
        captions(Scene(()), 1, 0)
    with pytest.raises(SceneError, match="count=0"):
        captions(scene, 0, 0)
    with pytest.raises(SceneError, match="non-negative seed"):
        captions(scene, 1, -1)
    with pytest.raises(SceneError, match="different full captions for a scene, not 5000; ask for fewer"):
        captions(scene, 5000, 0, "full")
    with pytest.raises(SceneError, match="seed=-1"):
        instructions(scene, -1)
