"""A small generator of system 4's jobs, and directions, annotations and words of it."""

from pathlib import Path

import pytest
import torch

import config
from gan import shipped
from gan.directions.directions import Directions
from gan.directions.distillation import Vocabulary
from gan.directions.files import FoundDirections, save_directions, save_vocabularies
from gan.progan.generator import ProganGenerator
from run import main

SEGMENTER = {"type": "models.segmenter.file.load_segmenter", "path": "models/shipped/segmenter_world.safetensors"}
WORDS = ["red", "blue", "cube", "sphere"]


def run_config(folder, name, values, *overrides):
    """Run the config visual_vocab/``name``.yaml with other values in ``folder``; return its exit code."""
    path = folder / f"{name}.yaml"
    path.write_text(config.dump(config.load(f"visual_vocab/{name}.yaml").values | values))
    return main(["-f", str(path), f"run.folder={folder}", f"run.name={name}", *overrides])


@pytest.fixture(scope="session")
def generator_node(tmp_path_factory):
    """The config node of a Progressive GAN with random weights: 16 pixels, 8 numbers in a latent."""
    folder = tmp_path_factory.mktemp("generator")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shipped.save(ProganGenerator(8, [12, 8, 6]), "small", {}, folder)
    return {"type": "gan.shipped.load", "name": "small", "folder": str(folder)}


@pytest.fixture(scope="session")
def small_generator(generator_node):
    """That generator."""
    return shipped.load(generator_node["name"], Path(generator_node["folder"]))


@pytest.fixture(scope="session")
def directions_file(tmp_path_factory):
    """Six directions for all of four latents of that generator."""
    source = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(1, 6, 8, generator=source), dim=-1)
    found = FoundDirections(
        Directions(vectors, ["layer1"] * 6, torch.zeros(1, 6)), torch.randn(4, 8, generator=source), None
    )
    path = tmp_path_factory.mktemp("directions") / "directions.safetensors"
    save_directions(path, found, {"seed": 0})
    return path


@pytest.fixture(scope="session")
def vocabulary_file(tmp_path_factory):
    """Four words of that generator, over all and of the class "cube"."""
    source = torch.Generator().manual_seed(1)
    words = Vocabulary(WORDS, torch.randn(4, 8, generator=source), [9, 8, 7, 6], 1.0)
    own = Vocabulary(["red"], torch.randn(1, 8, generator=source), [5], 1.0)
    path = tmp_path_factory.mktemp("words") / "vocabulary.safetensors"
    save_vocabularies(path, {"all": words, "cube": own}, {})
    return path
