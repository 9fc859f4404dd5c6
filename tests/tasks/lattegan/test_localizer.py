"""The localiser's training on coloured squares: it learns, goes on, writes its file and page."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import losses
from engine import checkpoint
from evaluation.report.localizer import LocatedImage, classes_table, located
from models.object_localizer import load_localizer
from models.weights import WeightsError
from tasks.lattegan.localizer import LocalizerTraining, class_weights, in_unit
from tests.tasks.lattegan.worlds import write_squares

ROOT = Path(__file__).parents[3]


def run(folder, data, *arguments):
    splits = [
        f"data.{split}.{key}={value}"
        for split, name in (("train", "train"), ("validation", "val"), ("test", "val"))
        for key, value in (("path", data / f"clevr_{name}.h5"), ("resolution", 32))
    ]
    tiny = [
        *splits, "data.batch_size=8", "task.localizer.trunk.resolution=32", "task.localizer.trunk.width=6",
        "task.localizer.trunk.features=24", "trainer.epochs=3", "trainer.log_every_steps=1",
        "task.optimization.schedule=null", f"run.folder={folder}",
    ]  # fmt: skip
    command = [sys.executable, "run.py", "-f", "lattegan/localizer_world.yaml", *tiny, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    write_squares(folder, "train", 12, 0)
    write_squares(folder, "val", 4, 1)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done = run(folder, data)
    assert done.returncode == 0, done.stderr
    return folder / "lattegan" / "localizer_world"


def test_it_learns_and_writes_its_report_and_its_file(trained):
    rows = [row["train/loss"] for row in map(json.loads, (trained / "metrics.jsonl").open()) if "train/loss" in row]
    assert rows[-1] < rows[0] / 1.2
    assert tuple(checkpoint.read(trained / "checkpoints" / "last.pt")["modules"]) == LocalizerTraining.module_names
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {"f1", "precision", "recall", "jaccard", "rsim", "location_error"} <= set(metrics)
    page = (trained / "report.html").read_text()
    assert "objects in 12 held-out images" in page
    assert "cylinder yellow" in page
    localizer = load_localizer(trained / "localizer.safetensors")
    assert localizer(torch.zeros(1, 3, 128, 128)).locations.shape == (1, 24, 2)
    card = json.loads((trained / "localizer.json").read_text())
    assert card["classes"][:2] == ["cube gray", "cube red"]
    assert card["images_seen"] == 3 * 4 * 8


def test_a_stopped_run_goes_on_as_if_it_had_not_been(trained, data, tmp_path):
    for steps in (5, 12):
        done = run(tmp_path, data, f"trainer.max_steps={steps}")
        assert done.returncode == 0, done.stderr
    one, other = (
        checkpoint.read(folder / "checkpoints" / "last.pt")["modules"]["localizer"]
        for folder in (trained, tmp_path / "lattegan" / "localizer_world")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_an_empty_scene_needs_a_background(data, tmp_path):
    single = [f"data.{split}.path={data / 'clevr_obj_val.h5'}" for split in ("train", "validation", "test")]
    done = run(tmp_path, data, *single)
    assert done.returncode == 2
    assert "task.empty is 0.5, but data.train, " in done.stderr
    assert "has single images and no background: give the file of dialogues, or 0" in done.stderr


def test_points_need_maps_of_the_classes(data, tmp_path):
    done = run(tmp_path, data, "task.localizer.trunk.features=16")
    assert done.returncode == 2
    assert "the trunk is a PointsTrunk of 16 features: expected a PointsTrunk of at least 24, or 0" in done.stderr


def test_files_that_do_not_fit(trained, tmp_path):
    for name in ("localizer.safetensors", "localizer.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    card = json.loads((tmp_path / "localizer.json").read_text())
    for change, message in (
        ({"trunk": {"type": "Other"}}, "does not describe a localiser"),
        ({"num_coords": 3}, "do not fit ObjectLocalizer"),
        ({"trunk": card["trunk"] | {"resolution": "x"}}, "describes a network that cannot be built"),
    ):
        (tmp_path / "localizer.json").write_text(json.dumps(card | change))
        with pytest.raises(WeightsError, match=message):
            load_localizer(tmp_path / "localizer.safetensors")
    (tmp_path / "localizer.json").unlink()
    with pytest.raises(WeightsError, match=r"There is no .*localizer.json"):
        load_localizer(tmp_path / "localizer.safetensors")


def test_losses_by_loops():
    draws = torch.Generator().manual_seed(0)
    logits, there = torch.randn(3, 4, generator=draws), (torch.rand(3, 4, generator=draws) > 0.5).float()
    weights, places, truth = torch.rand(4, generator=draws), *torch.rand(2, 3, 4, 2, generator=draws)
    expected, errors = 0.0, 0.0
    for row in range(3):
        for kind in range(4):
            target, p = 0.9 * there[row, kind], logits[row, kind].sigmoid()
            expected -= weights[kind] * (2 * target * p.log() + (1 - target) * (1 - p).log()) / 3
            errors += there[row, kind] * F.mse_loss(places[row, kind], truth[row, kind], reduction="sum") / 3
    assert losses.object_detection(logits, there, weights).item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses.object_location(places, truth, there).item() == pytest.approx(errors.item(), rel=1e-5)


def test_points_by_loops():
    draws = torch.Generator().manual_seed(1)
    maps, truth = torch.randn(2, 5, 4, 6, generator=draws), torch.rand(2, 3, 2, generator=draws)
    truth[0, 0] = 1.0  # on the edge: the last cell
    there = torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    errors = [
        -maps[row, kind].flatten().log_softmax(0)[min(int(y * 4), 3) * 6 + min(int(x * 6), 5)]
        for row, kind in there.nonzero().tolist()
        for x, y in [truth[row, kind].tolist()]
    ]
    assert losses.object_points(maps, truth, there).item() == pytest.approx(torch.stack(errors).mean().item(), rel=1e-5)
    assert losses.object_points(maps, truth, 0 * there).item() == 0


def test_mirrored_images_have_mirrored_locations():
    task = SimpleNamespace(device=torch.device("cpu"))
    step = SimpleNamespace(generator=torch.Generator().manual_seed(0))
    images, truth = torch.rand(16, 3, 4, 4), torch.zeros(16, 2, 2)
    truth[:, 0], there = torch.tensor([0.25, 0.75]), torch.tensor([[1.0, 0.0]]).expand(16, 2)
    turned, places = LocalizerTraining._mirrored(task, images, truth, there, step)
    flipped = (turned == images.flip(3)).flatten(1).all(dim=1)
    assert 0 < flipped.sum() < 16
    for row, by_mirror in enumerate(flipped.tolist()):
        assert torch.equal(turned[row], images[row].flip(2) if by_mirror else images[row])
        assert places[row].tolist() == [[0.75 if by_mirror else 0.25, 0.75], [0.0, 0.0]]


def test_rare_classes_weigh_more():
    assert class_weights(np.array([1, 4, 0])).tolist() == pytest.approx([4 / 9, 1 / 9, 4 / 9])


def test_images_in_unit_range_are_pixels_over_255():
    assert in_unit(torch.tensor([0.0, 128.0, 255.0]) / 128 - 1).tolist() == pytest.approx([0, 128 / 255, 1])


def test_the_page_shows_what_is_found_and_missed():
    image = np.zeros((16, 16, 3), np.uint8)
    places = np.array([[0.5, 0.5], [0.2, 0.2]])
    shown = located(LocatedImage(image, np.array([True, False]), places, np.array([True, True]), places))
    colours = {tuple(colour) for colour in shown.reshape(-1, 3).tolist()}
    assert {(60, 200, 90), (250, 200, 30)} <= colours
    table = classes_table(["a<b"], np.array([[[1, 2], [3, 4]]]))
    assert "a&lt;b</th><td>61.5 %</td><td>4</td><td>3</td><td>2</td><td>1</td>" in table
