import json

import numpy as np
import torch

from config import Factory
from datasets.class_images.build import ensure
from datasets.class_images.dataset import ClassImages
from engine.optimization import Length, Optimization
from engine.settings import TrainerSettings
from models.image_classifier import SmallClassifier
from tasks.gan.class_networks import load_network
from tasks.gan.classifier import ClassifierTraining
from trainer import Trainer

CPU = torch.device("cpu")


def halves(split, rows):
    """Class 0 is bright on the left, class 1 on the right."""
    draws = np.random.default_rng(len(split))
    images = draws.integers(0, 60, (64, 16, 16, 3), dtype=np.uint8)
    classes = np.arange(64) % 2
    images[classes == 0, :, :8] += 180
    images[classes == 1, :, 8:] += 180
    return images[rows.start : rows.stop], classes[rows.start : rows.stop]


def test_it_learns_and_its_shares_are_right(tmp_path):
    ensure(tmp_path, {}, ["left", "right"], {"train": 32, "validation": 20}, halves, workers=1)
    torch.manual_seed(0)
    task = ClassifierTraining(
        Factory(SmallClassifier, {"widths": [8, 8]}, "c"),
        Optimization(Factory(torch.optim.Adam, {"lr": 1e-2}, "o")),
        ClassImages(tmp_path, 16),
        CPU,
        Length(6),
        artefacts=0.5,
    )
    loop = Trainer(task, TrainerSettings(epochs=6, precision="fp32"), 0, CPU, None)
    metrics = loop.fit()
    assert metrics == {"accuracy": 1.0, "worst_class_accuracy": 1.0}
    always_left = torch.nn.Linear(1, 1)
    always_left.forward = lambda images: torch.tensor([[1.0, 0.0]]).expand(len(images), 2)
    task.classifier = always_left
    assert task.evaluate() == {"accuracy": 0.5, "worst_class_accuracy": 0.0}


def test_a_training_through_the_command_line_can_be_loaded(class_runs):
    folder = class_runs / "classifier"
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert 0 <= metrics["worst_class_accuracy"] <= metrics["accuracy"] <= 1
    trained = load_network(folder, "classifier")
    assert trained.class_names == ["cube", "sphere", "cylinder"]
    assert trained.network(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
