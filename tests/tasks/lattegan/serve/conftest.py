"""A server of random networks, one that reads and one that hears."""

import io

import pytest
import soundfile
import torch
from fastapi.testclient import TestClient
from torch import nn

from common.errors import UserError
from models.instruction_encoders import EncodedInstruction
from tasks.lattegan.serve.api import build_app
from tasks.lattegan.serve.open_scenes import OpenScenes
from tasks.lattegan.turn_by_turn.scene import Scene
from tests.tasks.lattegan.small_models import TEXT, small_model


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


class Ears:
    """Hears how long a sound is, in place of tasks.lattegan.listen.Listener."""

    def __init__(self):
        self.encoder = nn.Module()
        self.encoder.text_dim = TEXT

    def hear(self, sound):
        try:
            samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise UserError("the recording is no sound") from error
        if abs(samples).max() < 0.003:
            raise UserError("the recording is silent")
        assert samples.ndim == 1
        return len(samples) / rate

    def encode(self, before, now):
        values = torch.tensor([now, *before])[:3]
        words = torch.zeros(1, 2, TEXT)
        words[0, :, : len(values)] = values
        return EncodedInstruction(words[:, 0], words, torch.tensor([[False, False]]))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("small"))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scenes(model, clock):
    return OpenScenes(lambda seed: Scene(model, seed, keep=False), most=2, seconds=600, queue=3, clock=clock)


@pytest.fixture
def client(model, scenes):
    with TestClient(build_app(model, scenes), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def hearing(model):
    """The application of a model that hears."""
    heard = model._replace(reads=Ears())
    return build_app(heard, OpenScenes(lambda seed: Scene(heard, seed, keep=False), 2, 600, 3))
