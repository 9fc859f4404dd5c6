"""A LatteGAN with random weights that reads a few words, in memory and as a run folder."""

import numpy as np
import torch

import config
from datasets.dialogue.texts import WordVectors
from engine import checkpoint
from gan.lattegan.rollout import Networks
from models.instruction_encoders import GruInstructionEncoder
from tasks.lattegan.turn_by_turn.model import DrawingModel, Written

WORDS = (
    "add",
    "a",
    "red",
    "blue",
    "green",
    "gray",
    "cube",
    "sphere",
    "left",
    "right",
    "of",
    "it",
    "on",
    "the",
    "ready",
)
TEXT, SIZE = 8, 64
NODES = {
    "image_encoder": {"type": "gan.lattegan.generator.ImageEncoder", "image_dim": 8, "width": 4},
    "generator": {
        "type": "gan.lattegan.generator.LatteganGenerator",
        "image_dim": 8, "width": 2, "condition_dim": 3, "noise_dim": 4, "resolution": SIZE,
        "fusion": {"type": "gan.lattegan.fusion.TirgSpade", "words": "concat", "heads": 2, "hidden": 8},
    },
    "discriminator": {"type": "gan.lattegan.discriminators.UnetDiscriminator", "width": 2, "resolution": SIZE},
}  # fmt: skip
GIVEN = {"generator": {"text_dim": TEXT}, "discriminator": {"text_dim": TEXT, "num_objects": 24}}


def write_vectors(path):
    """Write random word vectors of 5 numbers."""
    draws = np.random.default_rng(0)
    rows = (f"{word} {' '.join(f'{value:.3f}' for value in draws.standard_normal(5))}\n" for word in WORDS)
    path.write_text("".join(rows))
    return path


def networks():
    """Return the three networks with random weights."""
    torch.manual_seed(1)
    built = {name: config.build(node | GIVEN.get(name, {}), name) for name, node in NODES.items()}
    return Networks(**{name: network.eval() for name, network in built.items()})


def small_model(folder):
    """Return a model in memory; its word vectors lie in ``folder``."""
    torch.manual_seed(2)
    texts = WordVectors(write_vectors(folder / "vectors.txt"), max_words=12, max_previous=30)
    reads = Written(GruInstructionEncoder(5, TEXT), texts, "iclevr")
    return DrawingModel(networks(), reads, torch.zeros(3, SIZE, SIZE), "small")


def write_run(folder, task="tasks.lattegan.task.Lattegan"):
    """Write ``folder/checkpoints/best.pt`` as a training leaves it; the averaged generator is the one to be read."""
    (folder / "checkpoints").mkdir(parents=True)
    made = networks()
    modules = {name: network.state_dict() for name, network in made._asdict().items()}
    averages = {"generator": {f"module.{key}": value for key, value in modules["generator"].items()}}
    modules["generator"] = {key: torch.zeros_like(value) for key, value in modules["generator"].items()}
    text = config.dump({"task": {"type": task, **NODES}, "data": {"batch_size": 2}})
    checkpoint.write(
        folder / "checkpoints" / "best.pt",
        {"config": text, "modules": modules, "averages": averages, "step": 3, "seconds": 9.0},
    )
    return made
