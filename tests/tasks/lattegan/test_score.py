"""Scores of generated folders: true images are perfect, wrong ones are not, protocols are named."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.dialogue.generated_folder import write_scene
from datasets.dialogue.records import DialogueFile
from evaluation.object_scores import SCORES
from models.object_localizer import ObjectLocalizer, SmallTrunk, save_localizer
from tasks.lattegan.score import score
from tests.tasks.lattegan.worlds import write_squares

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    write_squares(root, "test", 3, 5)
    file = DialogueFile(root / "clevr_test.h5")
    for row in range(3):
        dialogue = file.dialogue(row)
        write_scene(root / "true", dialogue.scene_id, dialogue.images, dialogue.images, dialogue.texts)
        blank = np.full_like(dialogue.images, 128)
        write_scene(root / "blank", dialogue.scene_id, blank, dialogue.images, dialogue.texts)
    torch.manual_seed(0)
    localizer = ObjectLocalizer(24, 2, SmallTrunk(16, 4, 8), [4, 4])
    localizer.detector[1].bias.data[:5] = 4.0  # finds something everywhere
    save_localizer(localizer, root / "localizer.safetensors", file.classes, {})
    return root


def test_the_command_scores_a_folder(folder, tmp_path):
    arguments = [
        f"generated={folder / 'true'}", f"localizer.path={folder / 'localizer.safetensors'}",
        f"dialogues={folder / 'clevr_test.h5'}", f"run.folder={tmp_path}", f"page={tmp_path / 'page.md'}",
    ]  # fmt: skip
    command = [sys.executable, "run.py", "-f", "lattegan/score.yaml", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "lattegan" / "score"
    metrics = json.loads((results / "metrics.json").read_text())
    expected = {
        f"{name}_{turns}_{who}" for name in SCORES for turns in ("all", "last") for who in ("detector", "labels")
    }
    assert expected <= set(metrics)
    assert (metrics["images"], metrics["scenes"]) == (9, 3)
    for name in SCORES:  # the generated images are the true ones
        assert metrics[f"{name}_all_detector"] == metrics[f"{name}_last_detector"] == pytest.approx(1)
        assert metrics[f"reference_{name}_all"] == pytest.approx(metrics[f"{name}_all_labels"], abs=1e-6)
    page = (results / "report.html").read_text()
    assert "last turns, against labels" in page
    assert "cube red" in page
    lines = (tmp_path / "page.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| f1 |"))
    assert row.startswith("| f1 | 100.0 % | 100.0 % | ") and row.endswith(
        f"{100 * metrics['reference_f1_all']:.1f} % |"
    )


class Context:
    """What run.py gives."""

    dry_run = False


def scored(folder, monkeypatch, generated="blank", dialogues="clevr_test.h5", localizer=None):
    found = {}
    monkeypatch.setattr("tasks.lattegan.score.write_results", lambda _f, _c, _t, metrics, _s: found.update(metrics))
    monkeypatch.setattr("tasks.lattegan.score.results_folder", lambda _c, _r: nullcontext())
    localizer = localizer or ObjectLocalizer(24, 2, SmallTrunk(16, 4, 8), [4, 4])
    score(folder / generated, localizer, Context(), None if dialogues is None else folder / dialogues, threads=1)
    return found


def test_without_labels_only_the_detector_is_the_truth(folder, monkeypatch):
    metrics = scored(folder, monkeypatch, dialogues=None)
    assert "f1_all_detector" in metrics
    assert not [name for name in metrics if "labels" in name or "reference" in name]


def test_what_does_not_fit(folder, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="have 24 classes with 2 coordinates, the localiser 58 with 3"):
        scored(folder, monkeypatch, localizer=ObjectLocalizer(58, 3, SmallTrunk(16, 4, 8), [4, 4]))
    write_scene(tmp_path / "strange", "7", *np.zeros((2, 1, 16, 16, 3), np.uint8), [])
    with pytest.raises(UserError, match=r"scene 7 is not in .*clevr_test.h5"):
        scored(folder, monkeypatch, generated=tmp_path / "strange")
    write_scene(tmp_path / "long", "000000", *np.zeros((2, 4, 16, 16, 3), np.uint8), [])
    with pytest.raises(UserError, match=r"scene 000000 has turn 3, but .* has 3 turns of it"):
        scored(folder, monkeypatch, generated=tmp_path / "long")
