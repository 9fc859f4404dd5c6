"""Files for the originals are those that they would have written: entry by entry, and bit by bit when read back."""

import logging
import pickle
from pathlib import Path

import pytest
import torch

from gan.progan.generator import ProganGenerator
from models.davenet import DavenetSpeech
from models.image_encoders import Resnet50Encoder, Vgg16Encoder
from models.resdavenet import ResDavenet
from models.resdavenet_vq import ResDavenetVq
from models.small import SmallImageEncoder
from models.vector_quantizer import CodebookConfig
from models.weights import WeightsError
from published import load_published
from published.resdavenet_vq import experiment as resdavenet_vq
from published.resdavenet_vq.options import OPTIONS
from published.words_by_drawing import davenet, progan
from tests.parity.case import read_case

SMALL = {"layer_widths": (6, 8, 8, 12, 16), "layer_depths": (1, 2, 1, 3), "kernel": 5}


def changed(network):
    """Give every weight and buffer of a network a value that no other has."""
    state = network.state_dict()
    for number, (name, value) in enumerate(state.items(), 1):
        state[name] = torch.full_like(value, number) if value.dtype != torch.bool else torch.tensor(True)
    network.load_state_dict(state)
    return network.eval()


def same(one, other):
    states = one.state_dict(), other.state_dict()
    assert list(states[0]) == list(states[1])
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def read(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def resnet():
    return changed(Resnet50Encoder(embedding_dim=16))


@pytest.fixture(scope="module")
def vgg():
    return changed(Vgg16Encoder(embedding_dim=10))


@pytest.mark.parametrize("turn_on", ["01100", "00000", "10011"])
def test_an_experiment_comes_back_as_it_was(tmp_path, resnet, turn_on):
    config = CodebookConfig(commitment_cost=0.3, init_std=0.5, nonneg_init=True, init_ema_mass=2.0)
    speech = changed(ResDavenetVq(turn_on, codes=(3, 4, 5, 6, 7), jitter=0.2, codebook=config, **SMALL))
    resdavenet_vq.save(resnet, speech, tmp_path / "exps" / "mine")
    found = load_published("resdavenet_vq", tmp_path / "exps" / "mine")
    assert same(found.speech, speech)
    assert same(found.image, resnet)
    assert (found.speech.turn_on, found.speech.jitter.probability) == (turn_on, 0.2)
    assert all(quantizer.config == config for quantizer in found.speech.quantizers.values())
    nodes = resdavenet_vq.describe(tmp_path / "exps" / "mine")
    assert nodes["speech_encoder"]["layer_depths"] == [1, 2, 1, 3]


def test_arguments_are_a_plain_namespace_of_all_options(tmp_path, resnet):
    resdavenet_vq.save(resnet, changed(ResDavenet(**SMALL)), tmp_path, {"lr": 0.5, "VQ_turnon": "1,1,1,1,1"})
    args = pickle.loads((tmp_path / "args.pkl").read_bytes())
    assert (args.lr, args.VQ_turnon, args.jitter, args.layer_widths) == (0.5, "0,0,0,0,0", 0.0, "6,8,8,12,16")
    resdavenet_vq.save(resnet, changed(ResDavenet(**SMALL)), tmp_path)
    args = vars(pickle.loads((tmp_path / "args.pkl").read_bytes()))
    assert set(args) == set(OPTIONS)
    assert (args["lr"], args["n_epochs"], args["VQ_sizes"]) == (2e-4, 150, "1024,1024,1024,1024,1024")


def test_a_davenet_checkpoint_comes_back_as_it_was(tmp_path, vgg):
    speech = changed(DavenetSpeech("small", embedding_dim=10))
    davenet.save(vgg, speech, tmp_path / "model_best_x.pth.tar", epoch=4)
    found = load_published("davenet", tmp_path)
    assert same(found.speech, speech)
    assert same(found.image, vgg)
    assert found.details == {"epoch": 4}


def test_a_generator_comes_back_as_it_was(tmp_path, caplog):
    model = changed(ProganGenerator(7, [6, 5, 4]))
    progan.save(model, tmp_path / "generator.pth")
    assert same(load_published("progan", tmp_path / "generator.pth"), model)
    assert {"layer1.conv.weight", "layer6.wscale.b", "output_16x16.wscale.b"} < set(read(tmp_path / "generator.pth"))
    with caplog.at_level(logging.WARNING):
        progan.save(ProganGenerator(7, [6], tanh=True), tmp_path / "bounded.pth")
    assert "leaves out the clipping" in caplog.text


def shapes(state):
    return {name: list(value.shape) for name, value in state.items()}


def stored(assets, tmp_path, name, file):
    """The entries of an original's file, shapes by name."""
    case = read_case(assets / "parity" / f"{name}.json", tmp_path)
    return {entry: shape for entry, shape, _ in case.files[case.file_like(file)]["entries"]}


def test_entries_are_those_of_an_original_experiment(assets, tmp_path):
    args = read_case(assets / "parity" / "resdavenet_vq.json", tmp_path).hyper["args"]
    widths = [int(width) for width in args["layer_widths"].split(",")]
    with torch.device("meta"):
        image, speech = Resnet50Encoder(widths[-1]), ResDavenet(tuple(widths))
    speech.quantizers = ResDavenetVq("01100", layer_widths=tuple(widths)).quantizers
    ours = shapes(resdavenet_vq.speech_entries(speech))
    assert ours == stored(assets, tmp_path, "resdavenet_vq", "audio_model")
    assert shapes(resdavenet_vq.image_entries(image)) == stored(assets, tmp_path, "resdavenet_vq", "image_model")
    assert set(args) <= set(OPTIONS)


@pytest.mark.parametrize("size", ["small", "large"])
def test_entries_are_those_of_an_original_checkpoint(assets, tmp_path, size):
    with torch.device("meta"):
        found = davenet.entries(Vgg16Encoder(), DavenetSpeech(size))
    assert shapes(found) == stored(assets, tmp_path, f"davenet_{size}", "model_best")


def test_an_original_generator_is_written_as_it_was_read(assets, tmp_path):
    state = read_case(assets / "parity" / "progan_tiny.json", tmp_path).state("generator.pth")
    progan.save(progan.from_state_dict(state, "the case"), tmp_path / "generator.pth")
    ours = read(tmp_path / "generator.pth")
    assert set(ours) == set(state)
    assert all(torch.equal(value, state[name]) for name, value in ours.items())


def test_other_networks_are_refused(tmp_path, resnet, vgg):
    other = SmallImageEncoder(embedding_dim=16, width=8)
    with pytest.raises(WeightsError, match="found SmallImageEncoder, expected Resnet50Encoder: the image encoder of"):
        resdavenet_vq.save(other, ResDavenet(**SMALL), tmp_path / "a")
    with pytest.raises(WeightsError, match="found DavenetSpeech, expected ResDavenet: the speech encoder of ResDAVEne"):
        resdavenet_vq.save(resnet, DavenetSpeech("small"), tmp_path / "a")
    with pytest.raises(WeightsError, match="found ResDavenet, expected DavenetSpeech: learning-by-drawing's speech"):
        davenet.save(vgg, ResDavenet(**SMALL), tmp_path / "a.pth.tar")
    unplaced = ResDavenetVq("01000", codes=4, codebook=CodebookConfig(kmeans_rounds=1), **SMALL)
    with pytest.raises(WeightsError, match=r"quantizers.quant2.placed is false"):
        resdavenet_vq.save(resnet, unplaced, tmp_path / "a")
    assert [path for path in Path(tmp_path).rglob("*") if path.is_file()] == []
