"""Trained runs with random weights, as main.train leaves them, for the tests of units."""

import pytest
import torch

import config
from datasets.spoken_captions.readers import PlacesFiles
from datasets.world.build import ensure_world
from datasets.world.settings import World
from engine import checkpoint
from engine.context import Context
from engine.run_folder import RunSettings

IMAGE = {"type": "models.small.SmallImageEncoder", "embedding_dim": 16, "width": 8, "downsample": 8}
VQ = {
    "type": "models.resdavenet_vq.ResDavenetVq",
    "turn_on": "01100",
    "codes": 12,
    "layer_widths": [6, 8, 8, 12, 16],
    "layer_depths": [1, 1, 1, 1],
    "kernel": 5,
}
PLAIN = {"type": "models.resdavenet.ResDavenet"} | {key: VQ[key] for key in ("layer_widths", "layer_depths", "kernel")}
SMALL = {"type": "models.small.SmallSpeechEncoder", "embedding_dim": 16, "width": 8, "stages": 3}


def write_run(folder, speech=VQ):
    """Write a run folder with random weights; codebooks lie among the frames that they quantise."""
    torch.manual_seed(0)
    encoders = {"image": config.build(dict(IMAGE)), "speech": config.build(dict(speech))}
    if "turn_on" in speech:
        place_codes(encoders["speech"])
    state = {name: module.state_dict() for name, module in encoders.items()}
    checkpoint.write(folder / "checkpoints" / "best.pt", {"modules": state, "averages": {}, "step": 7})
    task = {"type": "tasks.speech_image.SpeechImage", "image_encoder": IMAGE, "speech_encoder": speech}
    values = {"entry": "main.train", "task": task, "data": {"target_length": 256}}
    (folder / "config.yaml").write_text(config.dump(values))
    return folder


@torch.no_grad()
def place_codes(speech):
    """Put the codes of every quantiser at frames of random log-mels, so that many of them are used."""
    mel = (20 * torch.randn(1, 40, 256) - 40).clamp(-80, 0)
    speech.eval()
    for name, quantizer in speech.quantizers.items():
        frames = speech.layer(name.replace("quant", "conv"), mel)[0].features[0].t()
        codes = len(quantizer.codebook)
        quantizer.codebook.copy_(frames[torch.linspace(0, len(frames) - 1, codes).long()])


@pytest.fixture(scope="session")
def vq_run(tmp_path_factory):
    """A run with quantisers 2 and 3."""
    return write_run(tmp_path_factory.mktemp("runs") / "vq")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Twenty-four spoken captions of three voices."""
    folder = tmp_path_factory.mktemp("world")
    settings = {"scenes": 24, "size": 16, "speakers": 3, "caption_style": "attributes", "splits": (0.0, 0.0, 1.0)}
    return ensure_world(World(folder, **settings, workers=1)) / "places" / "test.json"


@pytest.fixture
def _library():
    pytest.importorskip("fastabx", reason="fastabx needs Python 3.12")


@pytest.fixture
def places(assets):
    """Four utterances of the published layout, without images."""
    return PlacesFiles(assets / "formats" / "places" / "metadata.json", image=None, train=False)


@pytest.fixture
def context(tmp_path):
    """A context for run.py's part; ``settings`` writes below the test's folder."""
    made = Context("resdavenet_vq/test", {"entry": "tested", "seed": 0}, ["run.py"])
    made.settings = RunSettings(folder=tmp_path / "runs", name="result")
    made.folder = tmp_path / "runs" / "result"
    return made
