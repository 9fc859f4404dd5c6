"""Small pictures of one colour on one half, with captions that say so, and configs that learn from them."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.tasks.attngan.commands import run

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "white": (240, 240, 240)}
PLACES = ("left", "right", "top", "bottom")


def picture(colour, place, size, noise):
    image = np.full((size, size, 3), 90, np.uint8)
    half = size // 2
    where = {"left": np.s_[:, :half], "right": np.s_[:, half:], "top": np.s_[:half], "bottom": np.s_[half:]}[place]
    image[where] = COLOURS[colour]
    return (image + noise.integers(0, 12, image.shape)).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of own images with captions: 16 kinds, 64 of them to train, 16 each to validate and test."""
    folder, noise = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    kinds = [(colour, place) for colour in COLOURS for place in PLACES]
    for split, times in (("train", 4), ("validation", 1), ("test", 1)):
        rows = []
        for number, (colour, place) in enumerate(kinds * times):
            name = f"{split}_{number}.png"
            Image.fromarray(picture(colour, place, 32, noise)).save(folder / name)
            captions = [f"the {place} is {colour}", f"{colour} on the {place} side"]
            rows.append({"image": name, "captions": captions, "class": f"{colour} {place}"})
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def data(pictures):
    """The node of these data."""

    def node(split):
        return {
            "type": "datasets.text_image.dataset.CaptionedImages",
            "folder": str(pictures),
            "split": split,
            "resolutions": [16, 32],
            "max_words": 6,
            "margin": 1.0,
            "mirror": False,
        }

    return {
        "type": "datasets.text_image.splits.CaptionedData",
        "batch_size": 16,
        "train": node("train"),
        "validation": node("validation"),
        "test": node("test"),
    }


@pytest.fixture
def damsm(data):
    """A config that trains a matching model of these data."""
    return {
        "entry": "main.train",
        "description": "a matching model of small pictures",
        "cpu_threads": 1,
        "data": data,
        "task": {
            "type": "tasks.attngan.damsm.Damsm",
            "text_encoder": {
                "type": "models.damsm.CaptionEncoder",
                "embedding_dim": 32,
                "word_dim": 16,
                "dropout": 0.1,
            },
            "image_encoder": {"type": "models.region_encoders.SmallRegionEncoder", "width": 8, "stages": 2},
            "optimization": {"optimizer": {"type": "torch.optim.Adam", "lr": 0.01}},
        },
        "trainer": {"epochs": 25, "evaluate_every_epochs": 25, "clip_modules": {"text": 0.25}, "show_every_steps": 20},
    }


@pytest.fixture
def attngan(data):
    """A config that trains a generator of two stages; the matching model is still to be named."""
    discriminator = {"type": "gan.attngan.residual_discriminator.ResidualDiscriminator", "width": 4}
    return {
        "entry": "main.train",
        "description": "a generator of small pictures",
        "cpu_threads": 1,
        "data": data,
        "task": {
            "type": "tasks.attngan.task.Attngan",
            "generator": {
                "type": "gan.attngan.generator.AttnganGenerator",
                "width": 4,
                "condition_dim": 8,
                "noise_dim": 8,
                "residuals": 1,
                "stages": 2,
                "first_resolution": 16,
            },
            "discriminators": [{**discriminator, "resolution": 16}, {**discriminator, "resolution": 32}],
            "objective": {"type": "gan.attngan.objectives.RelativisticMatching"},
            "generator_optimizer": {"type": "torch.optim.Adam", "lr": 1e-3, "betas": [0.0, 0.99]},
            "discriminator_optimizer": {"type": "torch.optim.Adam", "lr": 1e-3, "betas": [0.0, 0.99]},
            "augment": {"translation": 0.1, "cutout": 0.2},
            "measure": {"features": {"type": "evaluation.frechet.RandomFeatures", "width": 4, "size": 32}},
        },
        "trainer": {"epochs": 2, "ema": {"decay": 0.9, "modules": ["generator"]}, "show_every_steps": 4},
    }


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of runs that several tests read."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def trained_damsm(damsm, runs):
    """The run folder of a matching model, trained once."""
    return runs / "damsm" if (runs / "damsm").exists() else run(damsm, runs, "damsm")


@pytest.fixture
def with_damsm(attngan, trained_damsm):
    """A config that trains a generator with that matching model."""
    attngan["task"]["damsm"] = {"run": str(trained_damsm)}
    return attngan
