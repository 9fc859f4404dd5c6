"""A scene is what the generator draws turn by turn; undo and choice lead where they say."""

import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.dialogue.records import to_bytes
from engine.seeding import step_generator
from gan.lattegan.layers import Instructions
from gan.lattegan.rollout import RollOuts, roll_out
from models.instruction_encoders import GruInstructionEncoder
from tasks.lattegan.turn_by_turn.model import Written, check_model
from tasks.lattegan.turn_by_turn.scene import MOST_CANDIDATES, MOST_TURNS, Scene, SceneError

FIRST, SECOND = "add a red cube", "add a blue sphere on the left of it"


def test_the_first_turn_is_that_of_a_roll_out(model):
    scene = Scene(model, seed=4)
    turn = scene.say(FIRST)
    heard = model.reads.hear(FIRST)
    found = model.reads.encode([], heard)
    words, lengths = found.words
    turns = Instructions(found.sentences[:, None], words[:, None], lengths[:, None])
    draws = [step_generator(4, 0)]
    (drawn,) = roll_out(model.networks, model.background, turns, torch.tensor([1]), draws, RollOuts())
    assert np.array_equal(turn.image, to_bytes(drawn.images[0]))
    assert turn.scores == pytest.approx(drawn.scores.tolist())
    assert turn.gate.shape == (8, 8)


def test_what_was_said_before_counts(model):
    scene = Scene(model)
    scene.say(FIRST)
    after = scene.say(SECOND).images
    alone = Scene(model).say(SECOND).images
    assert not torch.equal(after, alone)
    now = model.reads.hear(SECOND)
    sentences = [model.reads.encode(before, now).sentences for before in ([], [model.reads.hear(FIRST)])]
    assert not torch.allclose(*sentences)


def test_undo_and_the_same_words_give_the_same_image_another_seed_does_not(model):
    scene = Scene(model)
    scene.say(FIRST)
    image = scene.say(SECOND).image
    scene.undo()
    assert len(scene.turns) == 1
    assert np.array_equal(scene.say(SECOND).image, image)
    scene.undo()
    scene.seed = 5
    other = scene.say(SECOND)
    assert other.seed == 5
    assert not np.array_equal(other.image, image)


def test_the_best_candidate_is_kept_until_another_is_chosen(model):
    one, three = Scene(model), Scene(model)
    alone, turn = one.say(FIRST), three.say(FIRST, candidates=3)
    torch.testing.assert_close(turn.images[:1], alone.images, rtol=1e-3, atol=1e-3)  # whatever their number
    assert turn.chosen == int(np.argmax(turn.scores))
    other = (turn.chosen + 1) % 3
    chosen = three.choose(other)
    assert np.array_equal(chosen.image, to_bytes(turn.images[other]))
    after = three.say(SECOND)
    three.undo()
    three.choose(turn.chosen)
    assert not torch.equal(three.say(SECOND).images, after.images)
    with pytest.raises(SceneError, match="found candidate 1, expected 0 to 0 of the last turn"):
        three.choose(1)


def test_an_instruction_that_cannot_be_read_leaves_the_scene_as_it_was(model):
    scene = Scene(model)
    assert scene.say("add a red elephant").unknown == ["elephant"]
    for text, sentence in (("...", "found no word"), ("elephants", "no word of 'elephants' is known"),
                           ("add " * 13, "has 13 words or parts of words, the text encoder reads 12")):  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            scene.say(text)
    assert len(scene.turns) == 1


def test_there_is_a_last_turn(model, monkeypatch):
    scene = Scene(model)
    with pytest.raises(SceneError, match="the scene is empty"):
        scene.undo()
    monkeypatch.setattr("tasks.lattegan.turn_by_turn.scene.MOST_TURNS", 1)
    scene.say(FIRST)
    with pytest.raises(SceneError, match="has 1 turns, the most there can be"):
        scene.say(FIRST)
    assert MOST_TURNS * MOST_CANDIDATES < 2**31


def test_parts_that_do_not_fit(model):
    other = Written(GruInstructionEncoder(5, 6), model.reads.texts, "iclevr")
    with pytest.raises(UserError, match="embeddings of 6 numbers, the generator was trained on 8"):
        check_model(model._replace(reads=other))
    with pytest.raises(UserError, match=r"the empty scene is \(3, 32, 32\), the generator's images 64 x 64"):
        check_model(model._replace(background=torch.zeros(3, 32, 32)))
