"""The words that come with the project fit its generator, and a step along them shows."""

from pathlib import Path

import torch

import gan.directions
from gan import shipped
from gan.directions.directions import RandomDirections, shifted
from gan.directions.files import load_vocabularies
from gan.directions.subjects import Subjects, draw_images, draw_subjects
from models.segmenter.file import load_segmenter

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
