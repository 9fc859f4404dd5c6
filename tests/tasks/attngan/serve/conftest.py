"""A server of random networks that is asked within the process."""

import pytest
from fastapi.testclient import TestClient

from tasks.attngan.serve.api import Server, build_app
from tasks.attngan.serve.image_files import ImageFiles
from tests.tasks.attngan.random_models import random_model


@pytest.fixture(scope="session")
def random_text_to_image(tmp_path_factory):
    """Networks with random weights and stages of 8, 16 and 32 pixels."""
    return random_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def server(random_text_to_image, tmp_path):
    """The parts of a server of that model."""
    return Server(random_text_to_image, ImageFiles(tmp_path / "images", 10**8), longest_queue=64, wait_seconds=0.0)


@pytest.fixture
def client(server):
    """A client of that server, while its worker runs."""
    with TestClient(build_app(server, "random <networks>"), raise_server_exceptions=False) as client:
        yield client
