"""Deleted codes: what a quantiser puts out instead, which codes stand for a word and for chance, and the listener."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from common.errors import UserError
from datasets.images import ImageTransform
from datasets.loading.rows import ManifestError
from datasets.spoken_captions.readers import PlacesFiles
from datasets.world.build import ensure_world
from datasets.world.settings import World
from evaluation.word_detection.detect import detect_words
from tasks.attngan.trained import TextImageSource
from tasks.concepts.codes import Codes, DeletedCodes, _alike, _codes_of, _lost, without_codes
from tasks.concepts.codes import Detected as BothDetected
from tasks.concepts.listener import Listener, ListenerError
from tasks.resdavenet_vq.layers import LayerError, load_speech
from tasks.speech_image.trained import ModelSource
from tests.tasks.resdavenet_vq.conftest import PLAIN, write_run

SHIPPED = Path(models.__file__).parent / "shipped"
JUDGE = TextImageSource(run=SHIPPED / "attngan_world_judge.json")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "vq")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A function that builds datasets of 24 scenes, as a config's node does."""
    folder = tmp_path_factory.mktemp("world")
    settings = {"scenes": 24, "size": 64, "speakers": 3, "caption_style": "attributes", "splits": (0.0, 0.0, 1.0)}
    manifest = ensure_world(World(folder, **settings, workers=1)) / "places" / "test.json"
    image = ImageTransform(size=64, resize=64, random_crop=False)
    return lambda train, on_error: PlacesFiles(manifest, image, train, on_error=on_error)


@pytest.mark.parametrize("instead", ["silence", "neighbour"])
def test_a_deleted_code_is_replaced_and_nothing_else(run, instead):
    model = load_speech(ModelSource(run=run), torch.device("cpu"))
    mel = (20 * torch.randn(2, 40, 128, generator=torch.Generator().manual_seed(1)) - 40).clamp(-80, 0)
    before, codes = model.encode(["quant2"], mel)["quant2"]
    deleted = int(codes.flatten().mode().values)
    with without_codes(model, "quant2", [deleted], instead):
        after, other = model.encode(["quant2"], mel)["quant2"]
    hit = codes == deleted
    assert hit.any()
    assert not (other == deleted).any()
    assert torch.equal(codes[~hit], other[~hit])
    codebook = model.speech.quantizers["quant2"].codebook
    assert torch.equal(after, codebook[other].transpose(1, 2))
    frames = model.encode(["conv2"], mel)["conv2"][0].transpose(1, 2)[hit]
    distances = torch.cdist(frames, codebook)
    distances[:, deleted] = torch.inf
    if instead == "neighbour":
        assert torch.equal(other[hit], distances.argmin(dim=1))
    else:
        assert len(other[hit].unique()) == 1
    assert torch.equal(model.encode(["quant2"], mel)["quant2"][0], before)  # nothing is left


def test_codes_of_a_word_and_codes_of_chance():
    """Code 1 is RED in every frame; codes 2 and 3 are as frequent and about something else."""
    codes = [np.array([0, 1, 1, 2, 2, 3, 3, 4]), np.array([0, 1, 1, 3, 3, 2, 2, 4])]
    words = [[(0.1, 0.29, "RED"), (0.3, 0.69, "CUBE")]] * 2
    found = detect_words(codes, words, 0.1)
    detected = BothDetected(found, found)
    best = _codes_of("red", {"quant2": detected}, 1)
    assert (best.layer, best.numbers) == ("quant2", [1])
    assert best.f1 == pytest.approx(1.0)
    assert _codes_of("blue", {"quant2": detected}, 1) is None
    others = _alike(codes, best, found, "red", [0, 1, 2])
    assert len(others) == 3
    assert all(one[0] in (0, 2, 3, 4) for one in others)
    two = _alike(codes, Codes("quant2", [1, 2], 1.0), found, "red", [0])
    assert len(set(two[0])) == 2
    assert not {1, 2} & set(two[0])


def test_the_share_of_a_lead_that_is_lost():
    assert _lost(0.4, 0.1) == pytest.approx(0.75)
    assert np.isnan(_lost(0.0, 0.1))


def test_a_listener_learns_a_linear_map():
    source = torch.Generator().manual_seed(0)
    speech, true = torch.randn(60, 8, generator=source), torch.randn(8, 5, generator=source)
    images = speech @ true + 0.05 * torch.randn(60, 5, generator=source)
    scores = Listener(speech[:40], images[:40]).scores(speech[40:], images[40:])
    assert scores.argmax(dim=1).tolist() == list(range(20))
    with pytest.raises(ListenerError, match="found 3 pairs to learn from, expected at least 10"):
        Listener(speech[:3], images[:3])


@pytest.mark.parametrize("number", [1, 2])
def test_every_spoken_word_has_a_finding(run, pairs, number):
    part = DeletedCodes(ModelSource(run=run), pairs, pairs, JUDGE, best=4, number=number, batch_size=8)
    found = part.measure(["red", "cube", "tree"], [0, 1], False)
    assert set(found) == {"red", "cube"}
    one = found["red"]
    assert one.what.startswith("code ")
    assert one.what.count(",") == number - 1
    assert len(one.effect) == len(one.control) == 2
    assert one.cases >= 1
    assert "own image of 24 captions" in part.protocol()
    json.dumps(one.what)


def test_errors_are_one_sentence(tmp_path, run, pairs):
    plain = write_run(tmp_path / "plain", PLAIN)
    with pytest.raises(LayerError, match="has no quantisers"):
        DeletedCodes(ModelSource(run=plain), pairs, pairs, JUDGE).measure(["red"], [0], False)
    with pytest.raises(LayerError, match="quant7"):
        DeletedCodes(ModelSource(run=run), pairs, pairs, JUDGE, layer="quant7").measure(["red"], [0], False)

    def blind(train, on_error):
        dataset = pairs(train, on_error)
        return PlacesFiles(dataset.source, None, train)

    with pytest.raises(ManifestError, match="expected pairs with images and word alignments"):
        DeletedCodes(ModelSource(run=run), blind, pairs, JUDGE).measure(["red"], [0], False)
    assert issubclass(ListenerError, UserError)
