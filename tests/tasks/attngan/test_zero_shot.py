"""Zero-shot learning from noisy texts: what is learned, exact resume, two ranks, what a run writes.

Losses, updates and measures are compared with the public loop in the parity case ``zero_shot``.
"""

import csv
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.class_features.dataset import ClassFeatures, FeatureSet, HeldOut, Labelled
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from models.feature_gan import FeatureDiscriminator, FeatureGenerator
from tasks.attngan.zero_shot import ZeroShot, ZeroShotMeasure, ZeroShotWeights
from tests.conftest import ASSETS
from tests.ranks import on_two_ranks
from trainer import Trainer

ROOT = Path(__file__).parents[3]
CONFIG = ASSETS / "configs" / "zero_shot_tiny.yaml"
CPU = torch.device("cpu")
PARTS = 3  # of each of the two attributes of a class


def made_up(seen_images=True, validation=True):
    """Nine classes of two attributes, three of them unseen; documents and features say both, documents noise too."""
    rng = np.random.default_rng(0)
    pairs = [(a, b) for a in range(PARTS) for b in range(PARTS) if a != b] + [(a, a) for a in range(PARTS)]
    codes = np.zeros((len(pairs), 2 * PARTS))
    for row, (a, b) in enumerate(pairs):
        codes[row, [a, PARTS + b]] = 1
    documents = np.concatenate([codes, 0.5 * rng.random((len(pairs), 6)), np.zeros((len(pairs), 2))], axis=1)
    turn = rng.normal(size=(2 * PARTS, 10))

    def images(rows, number):
        classes = np.repeat(rows, number)
        noise = rng.normal(scale=0.15, size=(len(classes), 10))
        return Labelled((codes[classes] @ turn + noise).astype(np.float32), classes)

    seen = np.arange(6)
    held = [HeldOut(rows, images(rows, 8), images(seen, 4) if seen_images else None) for rows in ([6], [7, 8])]
    held = [HeldOut(np.array(part.classes), *part[1:]) for part in held]
    return FeatureSet(
        "a test", [f"{a}{b}" for a, b in pairs], documents.astype(np.float32), 6, images(seen, 20),
        test=held[1], validation=held[0] if validation else None, words=[f"w{n}" for n in range(14)],
    )  # fmt: skip


def make(content=None, rank=0, world=1, reduced=8, **changes):
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=3e-3, betas=(0.5, 0.9))
    settings = {
        "weights": ZeroShotWeights(),
        "measure": ZeroShotMeasure(samples=30, neighbours=7),
        "discriminator_steps": 2,
        "steps_per_epoch": 4,
    }
    return ZeroShot(
        partial(FeatureGenerator, noise_dim=3, reduced_dim=reduced, width=48, bounded=False),
        partial(FeatureDiscriminator, width=48),
        adam,
        adam,
        ClassFeatures(content or made_up(), 32, rank=rank, world_size=world),
        CPU,
        **(settings | changes),
    )


def loop_of(task, folder=None):
    return Trainer(task, TrainerSettings(epochs=100, precision="fp32"), 3, CPU, folder)


def steps(loop, number):
    values = []
    for _ in range(number):
        epoch, place = divmod(loop.at.step, loop.task.steps_per_epoch)
        values.append(loop.train_step(next(iter(loop.task.batches(epoch, place)))))
    return values


def weights(loop):
    return torch.cat([p.detach().flatten() for module in loop.task.modules.values() for p in module.parameters()])


def test_unseen_pairs_of_attributes_are_told_by_their_documents():
    loop = loop_of(make())
    before, _ = loop.task.measured(loop.task.data.content.test)
    assert before["chance"] == 1 / 2
    values = steps(loop, 150)
    after, curve = loop.task.measured(loop.task.data.content.test)
    assert after["accuracy"] == after["class_accuracy"] > 0.9
    assert after["area_under_curve"] == curve.area > before["area_under_curve"] + 0.3
    assert after["harmonic_mean"] > 0.6
    assert values[-1]["generator_pivot"] < 0.6 * values[0]["generator_pivot"]
    assert values[-1]["class_accuracy_real"] == 1


def test_the_penalty_silences_words_that_tell_nothing():
    """Two words stand in no document: the penalty alone moves their columns."""

    def trained_columns(lasso):
        task = make(weights=ZeroShotWeights(squares=0, lasso=lasso), measure=ZeroShotMeasure(silent=0.02))
        weight = task.generator.reduce.weight
        weight.data[:, 12:] = 0.1
        steps(loop_of(task), 40)
        return weight.detach()[:, 12:], task.words()

    columns, words = trained_columns(0.0)
    assert torch.equal(columns, torch.full_like(columns, 0.1))
    assert not words.silenced
    columns, words = trained_columns(0.01)
    assert columns.abs().max() < 0.01
    assert set(words.silenced) == {"w12", "w13"}
    assert list(words.kept.values()) == sorted(words.kept.values(), reverse=True)


def test_batches_are_each_updates_own_and_go_on_where_a_run_stopped():
    task = make()
    whole = list(task.batches(1, 0))
    assert [len(batch) for batch in whole] == [3] * 4
    firsts = [tuple(classes.tolist()) for batch in whole for _, classes in batch]
    assert len(set(firsts)) == 12
    for one, other in zip(task.batches(1, 2), whole[2:], strict=True):
        assert all(a[0].equal(b[0]) for a, b in zip(one, other, strict=True))


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = loop_of(make())
    steps(whole, 6)
    first = loop_of(make(), RunFolder(tmp_path))
    steps(first, 2)
    first.saver.save()
    second = loop_of(make(), RunFolder(tmp_path))
    assert second.saver.resume()
    steps(second, 4)
    assert torch.equal(weights(second), weights(whole))


def learn(rank, world):
    torch.set_num_threads(1)
    loop = loop_of(make(rank=rank, world=world))
    steps(loop, 3)
    return {"weights": weights(loop), "accuracy": torch.tensor(loop.evaluate()["accuracy"])}


def test_two_processes_equal_one(tmp_path):
    alone = learn(0, 1)
    for together in on_two_ranks(learn, tmp_path):
        torch.testing.assert_close(together["weights"], alone["weights"], rtol=1e-3, atol=2e-5)
        assert together["accuracy"] == alone["accuracy"]


def test_attributes_have_no_reducing_layer():
    task = make(reduced=None)
    values = steps(loop_of(task), 1)[0]
    assert "generator_lasso" not in values
    assert task.words() is None


def test_without_validation_classes_the_test_classes_choose_and_a_warning_says_so(caplog):
    task = make(made_up(seen_images=False, validation=False))
    assert "a test has no validation classes, so the best weights are chosen on the test classes" in caplog.text
    found = task.evaluate()
    assert found == task.measured(task.data.content.test)[0]
    assert "harmonic_mean" not in found
    assert 0 <= found["area_under_curve"] <= 1  # of the training images, as published


def test_evaluation_repeats_itself_and_may_be_short():
    task = make()
    assert task.evaluate() == task.evaluate()
    assert task.generate(np.array([7])).shape == (1, 30, 10)
    assert set(task.evaluate(limit=1)) == set(task.evaluate())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder of a training through the command line."""
    runs = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "run.py", "-f", str(CONFIG), f"run.folder={runs}", "run.name=tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return runs / "tiny"


def test_a_training_through_the_command_line(trained):
    metrics = json.loads((trained / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["chance"] == 1 / 4
    assert metrics["accuracy"] > 0.4
    rows = list(csv.DictReader((trained / "words.csv").open(encoding="utf-8")))
    assert len(rows) == metrics["words"]
    assert sum(int(row["silenced"]) for row in rows) == metrics["words_silenced"]
    assert float(rows[0]["relative_norm"]) == 1
    curve = list(csv.DictReader((trained / "seen_unseen.csv").open(encoding="utf-8")))
    assert len(curve) == 400
    area = np.trapezoid([float(row["seen"]) for row in curve], [float(row["unseen"]) for row in curve])
    assert area == pytest.approx(metrics["area_under_curve"], abs=1e-4)
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "images of 4 classes that were never trained on" in page
    assert "Seen against unseen classes" in page
