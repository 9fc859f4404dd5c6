"""A tiny trained run, a tiny generator and a segmenter that reads colours, for the experiments."""

import shutil

import pytest
import torch

import config
from config import Factory
from datasets.spoken_captions.readers import GanClevr
from engine import checkpoint
from engine.context import Context
from engine.run_folder import RunSettings
from gan.progan.generator import ProganGenerator
from models.segmenter.labels import ATTRIBUTE_CATEGORIES, ATTRIBUTE_LABELS, label_maps

IMAGE = {"type": "models.small.SmallImageEncoder", "embedding_dim": 16, "width": 8, "downsample": 8}
SPEECH = {"type": "models.small.SmallSpeechEncoder", "embedding_dim": 16, "width": 8, "stages": 3}


class BrightnessSegmenter:
    """Sees one thing: everything but a border of two pixels; its colour is the strongest of red, green and blue."""

    labels, categories = ATTRIBUTE_LABELS, ATTRIBUTE_CATEGORIES

    def segment(self, images):
        numbers = torch.zeros(len(images), 5, *images.shape[2:], dtype=torch.int64)
        numbers[:, :, 2:-2, 2:-2] = 1
        inside = images[:, :, 2:-2, 2:-2].mean((2, 3)).argmax(1).cpu()
        numbers[:, 3, 2:-2, 2:-2] = torch.tensor([2, 4, 3])[inside][:, None, None]  # red, green, blue
        return label_maps(numbers).to(images.device)


@pytest.fixture
def segmenter():
    return BrightnessSegmenter()


@pytest.fixture
def generator():
    """32-pixel images from 8 numbers; 12 units in layer4."""
    torch.manual_seed(6)
    return ProganGenerator(8, [12, 12, 8, 8])


def write_run(folder, image=IMAGE):
    """Write a run folder with random weights, as main.train leaves it."""
    torch.manual_seed(0)
    modules = {name: config.build(dict(node)).state_dict() for name, node in (("image", image), ("speech", SPEECH))}
    state = {"modules": modules, "averages": {}, "step": 7}
    checkpoint.write(folder / "checkpoints" / "best.pt", state)
    task = {"type": "tasks.speech_image.SpeechImage", "image_encoder": image, "speech_encoder": SPEECH}
    values = {"entry": "main.train", "task": task, "data": {"target_length": 256}}
    (folder / "config.yaml").write_text(config.dump(values))
    return folder


@pytest.fixture
def trained_run(tmp_path):
    """A run folder with random weights, as main.train leaves it."""
    return write_run(tmp_path / "runs" / "trained")


@pytest.fixture
def captions(assets, tmp_path):
    """A dataset node: eight captions of the published layout in one list, with images when asked."""
    folder = tmp_path / "captions"
    shutil.copytree(assets / "formats" / "clevrgan", folder)
    names = sorted({name for path in folder.glob("name_list_*.txt") for name in path.read_text().split()}, key=int)
    (folder / "name_list_test.txt").write_text("\n".join(names) + "\n")

    def node(images=False):
        image = {"size": 32, "resize": 32, "random_crop": False} if images else None
        arguments = {"folder": str(folder), "split": "test", "image": image, "max_frames": 256}
        return Factory(GanClevr, arguments, "data")

    node.folder = folder
    return node


def collect_captions(folder, ids):
    """Add captions that annotators recorded for edited images of ids, to a folder in the published layout."""
    (folder / "audio" / "active").mkdir(exist_ok=True)
    for name in ids:
        shutil.copy(folder / "audio" / f"{name}.wav", folder / "audio" / "active" / f"{name}.wav")
    with (folder / "name_list_test.txt").open("a") as file:
        file.writelines(f"active/{name}\n" for name in ids)


@pytest.fixture
def context(tmp_path):
    """A context for run.py's part; ``settings`` writes below the test's folder."""
    made = Context("words_by_drawing/test", {"entry": "tested", "seed": 0}, ["run.py"])
    made.settings = RunSettings(folder=tmp_path / "runs", name="result")
    made.folder = tmp_path / "runs" / "result"
    return made


def with_clusters(run, count=2):
    """Put clusters of a 16-dimensional model and a generator with 12 units in layer4 into a run's checkpoint."""
    path = run / "checkpoints" / "best.pt"
    state = checkpoint.read(path)
    torch.manual_seed(2)
    state["modules"]["clusters"] = {
        "epoch": torch.tensor(0),
        "count": torch.tensor(count),
        "centroids": torch.rand(5, 16),
        "mean": torch.zeros(16),
        "std": torch.ones(16),
        "units_layer4": torch.stack([torch.randperm(12) for _ in range(5)]),
    }
    checkpoint.write(path, {key: value for key, value in state.items() if key != "format"})
