"""The LatteGAN that comes with the project: it is small, draws what is said, and its localiser reads the classes."""

import json
from pathlib import Path

import numpy as np
import torch

from models.object_localizer import load_localizer
from tasks.lattegan.turn_by_turn.model import of_export
from tasks.lattegan.turn_by_turn.scene import Scene

SHIPPED = Path(__file__).parents[2] / "models" / "shipped"


def test_it_draws_turn_by_turn():
    scene = Scene(of_export(SHIPPED / "lattegan_world.json"), 0)
    first = scene.say("add a red cube at the center").image.astype(int)
    second = scene.say("add a blue sphere behind it on the left").image.astype(int)
    assert first.shape == (64, 64, 3)
    middle = first[20:40, 22:42]
    assert (middle[..., 0] - middle[..., 2]).max() > 60  # something red
    left = second[5:35, :36]
    assert (left[..., 2] - left[..., 0]).max() > 60  # something blue
    bottom = slice(50, 64)  # where nothing was asked for
    assert np.abs(first[bottom] - second[bottom]).mean() < 10


def test_its_files_are_small_and_say_how_they_were_made():
    files = [path for path in SHIPPED.iterdir() if path.name.startswith("lattegan_world")]
    assert len(files) == 4
    assert sum(path.stat().st_size for path in files) < 25e6
    card = json.loads((SHIPPED / "lattegan_world.json").read_text())
    assert card["trainings"]["drawing"]["turns_seen"] > 0
    assert card["scores"]["f1_all_labels"] > 0
    localizer = load_localizer(SHIPPED / "lattegan_world_localizer.safetensors")
    assert localizer(torch.zeros(1, 3, 64, 64)).logits.shape == (1, len(card["classes"]))
