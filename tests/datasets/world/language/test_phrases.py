"""The words of attributes in captions."""

from datasets.world.language.captions import captions
from datasets.world.language.phrases import ATTRIBUTES, says
from datasets.world.scene.near import near_scene


def test_captions_of_all_attributes_say_each_of_them_in_whatever_words():
    for seed in range(40):
        scene = near_scene(seed, 1, 2)
        for text in captions(scene, 5, seed, "attributes"):
            assert all(says(text, name, getattr(item, name)) for item in scene.objects for name in ATTRIBUTES), text


def test_a_caption_says_nothing_else():
    text = "Two big red blocks, and a shiny ball."
    assert says(text, "size", "large")
    assert says(text, "shape", "cube")
    assert says(text, "material", "metal")
    assert not says(text, "size", "small")
    assert not says(text, "shape", "cylinder")
    assert not says(text, "material", "rubber")
    assert not says(text, "colour", "blue")
    assert not says("a redder block", "colour", "red")
