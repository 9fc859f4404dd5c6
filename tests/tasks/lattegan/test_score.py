"""Scores of generated folders: true images are perfect, wrong ones are not, protocols are named."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.dialogue.generated_folder import write_scene
from datasets.dialogue.records import DialogueFile
from evaluation.object_scores import SCORES
from models.object_localizer import ObjectLocalizer, SmallTrunk, save_localizer
from run import main
from tasks.lattegan.score import score
from tests.tasks.lattegan.worlds import write_squares


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
    assert main(["-f", "lattegan/score.yaml", *arguments]) == 0
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
    table = (tmp_path / "page.md").read_text().splitlines()
    row = next(line for line in table if line.startswith("| f1 |"))
    assert row.startswith("| f1 | 100.0 % | 100.0 % | ") and row.endswith(
        f"{100 * metrics['reference_f1_all']:.1f} % |"
    )
    assert page.count("data:image/png") == 4  # two plots against each truth
    for who in ("detector", "labels"):
        assert (results / f"confusion_{who}.png").read_bytes().startswith(b"\x89PNG")
    lines = (results / "scenes.txt").read_text().splitlines()
    assert len(lines) == 9
    assert lines[0].startswith("000000 0: add a ")
    assert "| found: " in lines[0]
    assert lines[0].endswith("against the labels")
    assert metrics["image_distance"] == 0


class Sees(ObjectLocalizer):
    """Finds a grey cube in the middle of everything."""

    def __init__(self):
        super().__init__(24, 2, SmallTrunk(16, 4, 8), [4, 4])

    def forward(self, images):
        probabilities = torch.zeros(len(images), 24)
        probabilities[:, 0] = 0.9
        found = super().forward(images)
        return SimpleNamespace(probabilities=probabilities, locations=torch.full_like(found.locations, 0.5))


class Context:
    """What run.py gives."""

    dry_run = False


def scored(folder, monkeypatch, generated="blank", dialogues="clevr_test.h5", localizer=None):
    found = {}
    monkeypatch.setattr("tasks.lattegan.score.write_results", lambda _f, _c, _t, metrics, _s: found.update(metrics))
    monkeypatch.setattr("tasks.lattegan.score.results_folder", lambda _c, _r: nullcontext(SimpleNamespace(path=folder)))
    localizer = localizer or ObjectLocalizer(24, 2, SmallTrunk(16, 4, 8), [4, 4])
    score(folder / generated, localizer, Context(), None if dialogues is None else folder / dialogues, threads=1)
    return found


def test_without_labels_only_the_detector_is_the_truth(folder, monkeypatch):
    metrics = scored(folder, monkeypatch, dialogues=None)
    assert "f1_all_detector" in metrics
    assert not [name for name in metrics if "labels" in name or "reference" in name]


def test_what_an_image_shows_is_told_by_hand(folder, monkeypatch):
    told = {}
    monkeypatch.setattr("tasks.lattegan.score.write_whole", lambda path, content: told.update({path.name: content}))
    metrics = scored(folder, monkeypatch, dialogues="clevr_test.h5", localizer=Sees())
    dialogue = DialogueFile(folder / "clevr_test.h5").dialogue(0)
    colours = [text.split()[2] for text in dialogue.texts]
    first, second = told["scenes.txt"].decode().splitlines()[:2]
    assert f"000000 0: add a {colours[0]} cube | " in first
    there = [f"cube {colour}" for colour in colours[:2]]
    missed = [name for name in DialogueFile(folder / "clevr_test.h5").classes if name in there and name != "cube gray"]
    assert f"missed: {', '.join(missed)}; " in second
    grey = np.abs(dialogue.images.astype(float) - 128).mean() / 255
    assert metrics["image_distance"] == pytest.approx(grey, rel=0.5)


def test_what_does_not_fit(folder, monkeypatch, tmp_path):
    with pytest.raises(UserError, match="have 24 classes with 2 coordinates, the localiser 58 with 3"):
        scored(folder, monkeypatch, localizer=ObjectLocalizer(58, 3, SmallTrunk(16, 4, 8), [4, 4]))
    write_scene(tmp_path / "strange", "7", *np.zeros((2, 1, 16, 16, 3), np.uint8), [])
    with pytest.raises(UserError, match=r"scene 7 is not in .*clevr_test.h5"):
        scored(folder, monkeypatch, generated=tmp_path / "strange")
    write_scene(tmp_path / "long", "000000", *np.zeros((2, 4, 16, 16, 3), np.uint8), [])
    with pytest.raises(UserError, match=r"scene 000000 has turn 3, but .* has 3 turns of it"):
        scored(folder, monkeypatch, generated=tmp_path / "long")
