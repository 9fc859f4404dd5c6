"""Images from captions: what they depend on, what is said of their words, and exports that are read back."""

import json
import re

import numpy as np
import pytest
import torch

from datasets.text_image.vocabulary import VocabularyError
from gan.attngan.generator import AttnganGenerator
from tasks.attngan.sampling.text_to_image import Draw
from tasks.attngan.trained import (
    GENERATOR,
    TEXT,
    TextImageSource,
    TrainedError,
    load,
    save_export,
)
from tests.tasks.attngan.random_models import KNOWN, RESOLUTIONS, nodes_of, random_model, write_random_export

CAPTIONS = ["a red cube", "the small blue sphere is large", "bird", "a yellow bird and a green cube"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("model"))


def test_each_stage_has_an_image_and_each_later_stage_attention_of_each_word(model):
    one = model.generate(["A small, red bird!"])[0]
    assert one.words == ["a", "small", "red", "bird"]
    assert [image.shape for image in one.images] == [(size, size, 3) for size in RESOLUTIONS]
    assert all(image.dtype == np.uint8 for image in one.images)
    assert [maps.shape for maps in one.attention] == [(4, 8, 8), (4, 16, 16)]
    for stage, maps in enumerate(one.attention):
        np.testing.assert_allclose(maps.sum(axis=0), 1, rtol=1e-5)
        assert one.maps(stage).shape == (4, *one.attended(stage).shape[:2])
        np.testing.assert_allclose(one.maps(stage).sum(axis=0), 1, rtol=1e-5)
    assert one.attended(0) is one.images[1]
    assert one.attended(1) is one.images[2]
    assert one.sheet(1).shape[1] == 5 * 128 + 4 * 2  # the image and all four words


def test_images_are_those_of_the_networks_clipped_and_rounded(model):
    (one,) = model.draw([Draw("a red cube", seed=5, index=2, copy=1)])
    stream = np.random.RandomState([5, 0, 2, 1]).standard_normal(9).astype(np.float32)
    tokens = torch.tensor([[KNOWN.index(word) + 1 for word in ("a", "red", "cube")]])
    encoded = model.text(tokens, torch.tensor([3]))
    noise, variation = torch.from_numpy(stream)[None, :5], torch.from_numpy(stream)[None, 5:]
    made = model.generator(noise, encoded.sentences, encoded.words, encoded.padding, variation)
    for image, found in zip(made.images, one.images, strict=True):
        expected = ((image[0].permute(1, 2, 0).detach().numpy() + 1) * 127.5).round().clip(0, 255)
        np.testing.assert_allclose(found, expected, atol=1)


def test_a_hidden_word_gets_no_attention_while_the_sentence_keeps_it(model):
    seen, hidden = model.draw([Draw("a red cube"), Draw("a red cube", hidden=("red", "unknown"))])
    assert hidden.words == ["a", "red", "cube"]
    for maps in hidden.attention:
        assert (maps[1] == 0).all()
        np.testing.assert_allclose(maps.sum(axis=0), 1, rtol=1e-5)
    assert np.array_equal(seen.images[0], hidden.images[0])  # the first stage reads the sentence
    assert not np.array_equal(seen.images[-1], hidden.images[-1])


def test_values_beyond_the_range_are_clipped(model, monkeypatch):
    def beyond(noise, sentences, words, padding, variation):
        made = AttnganGenerator.forward(model.generator, noise, sentences, words, padding, variation)
        return made._replace(images=[image * 50 for image in made.images])

    inside = model.generate(["a red cube"])[0].images[0].astype(int)
    monkeypatch.setattr(model.generator, "forward", beyond)
    image = model.generate(["a red cube"])[0].images[0]
    assert (image[inside < 120] == 0).all()
    assert (image[inside > 136] == 255).all()


def test_a_captions_images_do_not_depend_on_the_batch(model, tmp_path):
    together = model.generate(CAPTIONS, copies=2, seed=3)
    assert [(one.draw.index, one.draw.copy) for one in together] == [(i, copy) for i in range(4) for copy in range(2)]
    small = random_model(tmp_path, batch_size=3)
    again = small.generate(CAPTIONS, copies=2, seed=3)
    alone = [next(small.draw([one.draw])) for one in together]
    for one, *others in zip(together, again, alone, strict=True):
        for other in others:
            assert other.words == one.words
            for a, b in zip(one.images, other.images, strict=True):
                np.testing.assert_allclose(a.astype(int), b.astype(int), atol=1)
            for a, b in zip(one.attention, other.attention, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-5)


def test_masks_of_the_public_code_are_not_used(tmp_path):
    mixed = random_model(tmp_path, nodes_of({"mixed_masks": True}))
    together = mixed.generate(CAPTIONS)
    alone = next(mixed.draw([together[2].draw]))
    np.testing.assert_allclose(together[2].attention[1], alone.attention[1], atol=1e-5)


def test_seeds_and_copies_give_other_images(model):
    images = [one.images[-1] for seed in (0, 1, 2**32, 2**63 - 1) for one in model.generate(["bird"], 2, seed)]
    assert len({image.tobytes() for image in images}) == 8


def test_unknown_words_and_words_behind_the_most_are_named(model):
    one = model.generate(["a very red cube with a purple sphere and a bird"])[0]
    assert one.words == ["a", "red", "cube", "with", "a", "sphere"]
    assert one.unknown == ["very", "purple"]
    assert one.left_out == ["and", "a", "bird"]


def test_a_caption_without_known_words_is_refused(model):
    with pytest.raises(VocabularyError, match="no word of 'completely unheard of' is among the 14"):
        model.generate(["a red cube", "completely unheard of"])


def test_generators_of_one_image_show_it_with_each_attention(tmp_path):
    one = random_model(tmp_path, nodes_of({"every_stage": False})).generate(["a red cube"])[0]
    assert [image.shape for image in one.images] == [(32, 32, 3)]
    assert [maps.shape for maps in one.attention] == [(3, 8, 8), (3, 16, 16)]
    assert one.maps(0).shape == (3, 32, 32)


def test_generators_of_one_stage_have_no_attention(tmp_path):
    nodes = nodes_of()
    nodes[GENERATOR] = {
        "type": "gan.attngan.one_stage.OneStageGenerator", "resolution": 16, "width": 2, "embedding_dim": 8,
        "noise_dim": 5,
    }  # fmt: skip
    model = random_model(tmp_path, nodes)
    assert model.resolutions == [16]
    assert model.generate(["a red cube"])[0].attention == []


def test_an_export_is_read_back(tmp_path):
    path = write_random_export(tmp_path / "deep" / "model.json")
    found = load(TextImageSource(run=path), (TEXT, GENERATOR))
    assert found.step == 7
    assert found.words.vocabulary.words[1:] == KNOWN
    again = tmp_path / "again.json"
    nodes = json.loads(path.read_text())["networks"]
    assert save_export(again, found.networks, found.words, nodes, {}) == again.with_suffix(".safetensors")
    other = load(TextImageSource(run=again), (GENERATOR, TEXT))
    for name, network in found.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, other.networks[name].state_dict()[key])


@pytest.mark.parametrize(
    ("name", "nodes", "about", "message"),
    [
        ("model", nodes_of(), {}, "found model as the name of an export, expected one that ends in .json"),
        ("m.json", {TEXT: nodes_of()[TEXT]}, {}, "found networks text, generator and nodes text, expected the same"),
        ("m.json", nodes_of(), {"max_words": 3}, "about names max_words, which the description"),
    ],
)
def test_exports_that_cannot_be_read_back_are_not_written(model, tmp_path, name, nodes, about, message):
    networks = {TEXT: model.text, GENERATOR: model.generator}
    with pytest.raises(TrainedError, match=re.escape(message)):
        save_export(tmp_path / name, networks, model.words, nodes, about)
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_of_another_size_is_refused_with_both_sizes(tmp_path):
    path = write_random_export(tmp_path / "model.json")
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"vocabulary": card["vocabulary"][:-1]}))
    with pytest.raises(TrainedError, match=r"lists 14 words with the padding, the text encoder of .* knows 15"):
        load(TextImageSource(run=path), (TEXT, GENERATOR))
