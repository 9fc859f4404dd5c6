"""Prototypes by hand; words of the vocabulary are heard, everything else is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from datasets.world.speech.voices import voice
from tasks.resdavenet_vq.layers import LayerError
from tasks.visual_vocab.speech.recogniser import Prototypes, UnheardError, averaged, say


def test_parts_are_means_of_equal_lengths():
    frames = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_allclose(averaged(frames, 1), [3, 4])
    np.testing.assert_allclose(averaged(frames, 2), [1, 2, 5, 6])
    np.testing.assert_allclose(averaged(frames[:1], 3), [0, 1] * 3)  # fewer frames than parts
    # 3 frames in 2 parts: 1.5 frames each, so that the middle one is in both
    np.testing.assert_allclose(averaged(frames[:3], 2), [1, 2, 3, 4])


def test_prototypes_are_mean_unit_vectors_around_the_mean_of_all_words():
    """Words at (3, 1) and (1, 1): the centre is (2, 1), the units are (1, 0) and (-1, 0)."""
    made = Prototypes.of({"a": [np.array([3.0, 1.0])], "b": [np.array([1.0, 1.0])]})
    np.testing.assert_allclose(made.centre, [2, 1])
    np.testing.assert_allclose(made.units, [[1, 0], [-1, 0]], atol=1e-9)
    np.testing.assert_allclose(made.scores(np.array([2.0, 2.0])), [0, 0], atol=1e-9)
    np.testing.assert_allclose(made.scores(np.array([5.0, 5.0])), [0.6, -0.6])


def test_words_are_heard_from_another_voice(spoken_words):
    other = voice(5)
    assert other.variant not in {one.variant for one in spoken_words.listening.voices}
    for word, sounds in say(["red", "blue", "cube"], [other]).items():
        ranking = spoken_words.pick(sounds[0])
        assert ranking[0].word == word
        assert sorted(one.word for one in ranking) == ["blue", "cube", "red"]  # "sphere" is left out
        assert [one.score for one in ranking] == sorted((one.score for one in ranking), reverse=True)


def test_what_is_near_no_word_is_refused(spoken_words, listening_settings):
    noise = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    strict = type(spoken_words)(
        spoken_words.model, spoken_words.prototypes, dataclasses.replace(listening_settings, least=0.999)
    )
    with pytest.raises(
        UnheardError, match=r"x\.wav is near no word: the nearest, '.*', has a score of .*, expected at"
    ):
        strict.pick(noise, "x.wav")


def test_bad_settings_are_one_sentence(listening_settings):
    with pytest.raises(UnheardError, match="the vocabulary has no word that is spoken"):
        listening_settings.load(["sphere"], torch.device("cpu"))
    with pytest.raises(LayerError, match="found the layer 'conv9'; the layers of"):
        dataclasses.replace(listening_settings, layer="conv9").load(["red"], torch.device("cpu"))
    assert len({one.speaker for one in dataclasses.replace(listening_settings, speakers=10).voices}) == 10
