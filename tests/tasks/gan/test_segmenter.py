import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from engine import checkpoint
from models.segmenter.file import load_segmenter
from tasks.gan.segmenter import SegmenterTraining, attribute_cross_entropy

ROOT = Path(__file__).parents[3]
TINY = [
    "data.train_scenes=16", "data.batch_size=8", "data.validation_scenes=4", "data.test_scenes=4", "data.size=32",
    "task.segmenter.network.widths=[6,8,8]", "trainer.epochs=3", "trainer.log_every_steps=1",
    "task.optimization.schedule=null",
]  # fmt: skip


def run(folder, *arguments, config="gan/segmenter_world.yaml"):
    command = [sys.executable, "run.py", "-f", config, *TINY, f"run.folder={folder}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def slow_cross_entropy(scores, numbers):
    """Pixel by pixel, group by group."""
    found = {}
    for row, (name, first, count) in enumerate(
        (("size", 0, 2), ("material", 2, 2), ("shape", 4, 4), ("colour", 8, 8), ("ground", 16, 2))
    ):
        losses = []
        for b, y, x in torch.cartesian_prod(*(torch.arange(n) for n in (len(scores), *scores.shape[2:]))):
            label = int(numbers[b, row, y, x]) - (name != "ground")
            if label >= 0:
                losses.append(-scores[b, first : first + count, y, x].log_softmax(0)[label])
        found[name] = sum(losses) / max(len(losses), 1)
    return found


def test_cross_entropy_against_a_loop():
    draws = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 18, 3, 4, generator=draws)
    foreground = torch.rand(2, 3, 4, generator=draws) > 0.4
    limits = torch.tensor([2, 2, 3, 8]).view(1, 4, 1, 1)
    attributes = (torch.rand(2, 4, 3, 4, generator=draws) * limits).long() + 1
    numbers = torch.cat([attributes * foreground[:, None], foreground[:, None].long()], 1)
    found, expected = attribute_cross_entropy(scores, numbers), slow_cross_entropy(scores, numbers)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-5)


def test_a_batch_without_objects_has_no_attribute_loss():
    found = attribute_cross_entropy(torch.randn(1, 18, 2, 2), torch.zeros(1, 5, 2, 2, dtype=torch.int64))
    assert [float(found[name]) for name in ("size", "material", "shape", "colour")] == [0] * 4
    assert found["ground"] > 0
    assert torch.isfinite(F.relu(found["ground"]))


def test_it_learns_writes_its_report_and_its_file(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "gan" / "segmenter_world"
    losses = [row["train/loss"] for row in map(json.loads, (folder / "metrics.jsonl").open()) if "train/loss" in row]
    assert losses[-1] < losses[0]
    assert tuple(checkpoint.read(folder / "checkpoints" / "last.pt")["modules"]) == SegmenterTraining.module_names
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"object_accuracy", "mean_iou", "accuracy_shape", "iou_colour"} <= set(metrics)
    assert "held-out renders" in (folder / "report.html").read_text()
    segmenter = load_segmenter(folder / "segmenter.safetensors")
    assert segmenter.segment(torch.zeros(1, 3, 32, 32)).shape == (1, 18, 32, 32)
    card = json.loads((folder / "segmenter.json").read_text())
    assert card["images_seen"] % 8 == 0
    assert card["test"]["renders"] == 4
    assert card["made_by"] == "python run.py -f gan/segmenter_world.yaml"
