"""The words that come with the project fit its generator, and a step along them shows."""

from pathlib import Path

import torch

import gan.directions
from gan import shipped
from gan.directions.directions import RandomDirections, shifted
from gan.directions.distillation import distil
from gan.directions.files import load_vocabularies
from gan.directions.subjects import Subjects, draw_images, draw_subjects
from models.segmenter.file import load_segmenter
from published.visual_vocab.data_sets import open_data_set

FILE = Path(gan.directions.__file__).parent / "shipped" / "progan_world.safetensors"
COLOURS = ["gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"]


def test_a_step_along_yellow_is_seen_where_a_random_one_is_not():
    words = load_vocabularies(FILE)[0]
    assert set(words) == {"all", "cube", "cylinder", "sphere"}
    assert {*COLOURS, "cube", "sphere", "cylinder", "metal", "rubber"} <= set(words["all"].words)
    generator, segmenter = shipped.load(), load_segmenter()
    subjects = draw_subjects(generator, 16, seed=3)
    label = segmenter.labels.index("yellow")
    strange = RandomDirections(1).find(generator, *subjects, seed=4).vectors[0, 0]

    def yellow(direction):
        moved = Subjects(shifted(subjects.latents, direction, 6), None)
        return segmenter.segment(draw_images(generator, moved))[:, label].float().mean(dim=(1, 2))

    before = yellow(torch.zeros_like(strange))
    grown = [(yellow(one) - before >= 0.015).sum() for one in (words["all"].direction("yellow"), strange)]
    assert grown[0] >= 12
    assert grown[1] <= 6


def test_the_words_are_distilled_from_the_annotations_beside_them():
    words = load_vocabularies(FILE)[0]["all"]
    data = open_data_set(FILE.with_name("progan_world_annotations"))
    texts = [data.annotations[d_id] for d_id in range(len(data))]
    assert (len(data), sum(map(bool, texts))) == (2500, 2369)
    assert {name for names in data.annotators.values() for name in names} == {"segmenter"}
    again = distil(data.ds, texts, words.penalty, min_count=10)
    assert (again.words, again.counts) == (words.words, words.counts)
    torch.testing.assert_close(again.vectors, words.vectors, rtol=1e-4, atol=1e-6)
