"""Small networks of text and images with random weights, as an export."""

from pathlib import Path

import torch

import config
from datasets.text_image.vocabulary import Vocabulary
from tasks.attngan.sampling.text_to_image import TextToImage
from tasks.attngan.trained import GENERATOR, TEXT, TextImageSource, Words, load, save_export

KNOWN = ["a", "the", "small", "large", "red", "green", "blue", "cube", "sphere", "bird", "with", "is", "and", "yellow"]
MAX_WORDS = 6
RESOLUTIONS = [8, 16, 32]


def nodes_of(generator: dict | None = None, **text) -> dict[str, dict]:
    """Complete nodes of a text encoder and a generator; keywords and ``generator`` change them."""
    return {
        TEXT: {
            "type": "models.damsm.CaptionEncoder",
            **{"vocab_size": len(KNOWN) + 1, "embedding_dim": 8, "word_dim": 6} | text,
        },
        GENERATOR: {
            "type": "gan.attngan.generator.AttnganGenerator",
            **{"width": 4, "embedding_dim": 8, "condition_dim": 4, "noise_dim": 5, "residuals": 1, "stages": 3}
            | {"first_resolution": RESOLUTIONS[0]}
            | (generator or {}),
        },
    }


def write_random_export(path: Path, nodes: dict[str, dict] | None = None, seed: int = 0) -> Path:
    """Write an export of networks that are built from nodes with random weights; return its ``.json``."""
    nodes = nodes or nodes_of()
    torch.manual_seed(seed)
    networks = {name: config.build(node) for name, node in nodes.items()}
    for network in networks.values():
        for part in network.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    save_export(path, networks, Words(Vocabulary(KNOWN), MAX_WORDS), nodes, {"steps": 7, "seed": seed})
    return path


def random_model(folder: Path, nodes: dict[str, dict] | None = None, batch_size: int = 16) -> TextToImage:
    """Write such an export into a folder and load it."""
    path = write_random_export(folder / "random.json", nodes)
    return TextToImage(load(TextImageSource(run=path), (TEXT, GENERATOR)), batch_size=batch_size)
