"""A speech encoder that hears four words, spoken by two of the voices that it was trained on."""

from pathlib import Path

import pytest
import torch

from tasks.speech_image.trained import ModelSource
from tasks.visual_vocab.speech.recogniser import Listening

ENCODER = {"run": "models/shipped/resdavenet_vq_world.json"}
LISTENING = {"encoder": ENCODER, "speakers": 2, "layer": "conv2", "parts": 4, "least": 0.3, "leave_out": ["sphere"]}


@pytest.fixture(scope="session")
def listening_settings():
    """Leave "sphere" out."""
    return Listening(**LISTENING | {"encoder": ModelSource(run=Path(ENCODER["run"]))})


@pytest.fixture(scope="session")
def spoken_words(listening_settings):
    """The words red, blue and cube."""
    return listening_settings.load(["red", "blue", "cube", "sphere"], torch.device("cpu"))
