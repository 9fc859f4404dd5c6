"""A server of random networks, one that reads and one that hears."""

import pytest
from fastapi.testclient import TestClient

from tasks.lattegan.serve.api import build_app
from tasks.lattegan.serve.open_scenes import OpenScenes
from tasks.lattegan.turn_by_turn.scene import Scene
from tests.tasks.lattegan.ears import Ears
from tests.tasks.lattegan.small_models import small_model


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


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
