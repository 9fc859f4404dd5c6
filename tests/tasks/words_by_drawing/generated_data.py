"""A few spoken captions in the GAN-CLEVR layout, named by latents, and a task that learns from them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import soundfile
import torch
from torch import nn

from config import Factory
from datasets.spoken_captions.dataset import SpokenCaptions
from datasets.spoken_captions.readers import GanClevr
from datasets.spoken_captions.splits import SpeechImageData
from engine.optimization import Length, Optimization
from gan.progan.generator import ProganGenerator
from models.small import SmallImageEncoder, SmallSpeechEncoder
from tasks.speech_image import SpeechImage
from tasks.words_by_drawing import Edited, EditedOrHard, GeneratedImages, Hard, Regular
from tasks.words_by_drawing.negatives import NegativeConfig

DIM, LATENT_DIM = 16, 8
WIDTHS = [12, 12, 8]  # layers 1-2 4 px, 3-4 8 px, 5-6 16 px


def write_captions(folder: Path, ids: list[str], split: str = "train") -> Path:
    """Write a name list with a tone of its own for each id (0.4 s), and its text."""
    for name in ids:
        number = int(name.removeprefix("active/"))
        for kind in ("audio", "text"):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        seconds = np.arange(6400) / 16000
        tone = 0.4 * np.sin(2 * np.pi * (300 + 180 * number) * seconds * (1 + 0.3 * (name != str(number))))
        soundfile.write(folder / "audio" / f"{name}.wav", tone, 16000)
        (folder / "text" / f"{name}.txt").write_text(f"caption {name}")
    (folder / f"name_list_{split}.txt").write_text("\n".join(ids) + "\n")
    return folder


def make_data(folder: Path, batch_size: int = 6, rank: int = 0, world: int = 1) -> SpeechImageData:
    """The captions of a folder, for training and validation."""
    node = Factory(GanClevr, {"folder": str(folder), "split": "train", "image": None}, "data.train")
    return SpeechImageData(node, node, batch_size, seed=3, rank=rank, world_size=world)


def make_generator() -> ProganGenerator:
    """A generator with random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return ProganGenerator(LATENT_DIM, WIDTHS).eval()


OBJECTIVES = {
    "regular": Regular,
    "negatives_edited": Edited,
    "negatives_hard": Hard,
    "negatives_both": EditedOrHard,
}
"""By the published ``loss_type``."""


def generated(generator: nn.Module | None = None, **settings: object) -> Callable[..., GeneratedImages]:
    """An image source that the task builds, of a generator with random weights unless another is given."""
    return partial(GeneratedImages, generator or make_generator(), **settings)


def images_of(dataset: SpokenCaptions, generator: nn.Module | None = None, **settings: object) -> GeneratedImages:
    """The image source of one dataset."""
    data = SimpleNamespace(train_loader=SimpleNamespace(dataset=dataset), loaders={})
    return generated(generator, **settings)(data=data, device=torch.device("cpu"))


def make_task(
    data: SpeechImageData,
    loss_type: str,
    negatives: NegativeConfig | None = None,
    loss: Mapping[str, object] = MappingProxyType({}),
    **changed: object,
) -> SpeechImage:
    """The task with small encoders; ``negatives`` and ``loss`` are the objective's, other keywords the task's."""
    torch.manual_seed(0)
    edits = {} if negatives is None or loss_type in ("regular", "negatives_hard") else {"negatives": negatives}
    arguments: dict[str, object] = {
        "image_encoder": SmallImageEncoder(DIM, 8, downsample=4),
        "speech_encoder": SmallSpeechEncoder(DIM, 8),
        "optimization": Optimization(lambda params: torch.optim.Adam(params, lr=3e-3)),
        "images": generated(),
        "objective": partial(OBJECTIVES[loss_type], **edits, **loss),
    }
    return SpeechImage(data=data, device=torch.device("cpu"), length=Length(30), **(arguments | changed))
