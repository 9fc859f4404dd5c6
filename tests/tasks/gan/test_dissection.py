import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from engine.context import Context
from engine.run_folder import RunSettings
from gan.dissection.activations import DissectionError
from gan.hooks import LayerNameError
from gan.latents import LatentError
from models.segmenter.file import save_segmenter
from models.segmenter.labels import SegmentationError
from models.segmenter.network import AttributeSegmenter, SmallSegmenter
from tasks.gan.dissection import dissect
from tests.gan.square_generator import Finder, Painter
from tests.parity.case import read_case

ROOT = Path(__file__).parents[3]


class Artist(Painter):
    latent_dim = 4


@pytest.fixture
def context():
    return Context("tiny/dissect", {"seed": 1}, ["run.py"])


def call(folder, context, **changes):
    arguments = {
        "layers": ["paint"],
        "samples": 64,
        "threshold": 0.05,
        "no_label": False,
        "batch_size": 16,
        "examples": 4,
    }
    dissect(Artist(), Finder(), context=context, run=RunSettings(folder=folder), **(arguments | changes))
    return folder / "tiny" / "dissect"


@pytest.mark.parametrize("threshold", [0.05, "iqr"])
def test_everything_that_was_found_is_written(tmp_path, context, threshold):
    folder = call(tmp_path, context, threshold=threshold, excluded_units={"paint": [2]})
    units = json.loads((folder / "units.json").read_text())["paint"]
    assert [units[label][0] for label in ("red", "green", "yellow")] == [0, 1, 3]
    assert all(2 not in row and len(row) == 3 for row in units.values())
    record = json.loads((folder / "dissect.json").read_text())
    ranking = next(r for r in record["layers"][0]["rankings"] if r["name"] == "blue-iou")
    assert np.argmin(ranking["score"]) == 2
    assert record["quantile_threshold"] == threshold
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["paint/units"] == 4
    assert metrics["paint/labels_with_units"] >= 2
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 4 * 3 * 4
    assert "blue" in page


def test_published_names_where_clusters_are_labels(tmp_path, context):
    class Clusters(Finder):
        def __init__(self):
            self.labels = ["c_2", "c_3", "c_4", "c_5"]
            self.categories = ["cluster"] * 4

    arguments = {"layers": ["paint"], "samples": 16, "context": context, "run": RunSettings(folder=tmp_path)}
    dissect(Artist(), Clusters(), **arguments)
    record = json.loads((tmp_path / "tiny" / "dissect" / "dissect.json").read_text())
    names = [r["name"] for r in record["layers"][0]["rankings"] if r.get("metric") == "iou" and "concept" in r]
    assert names == [f"c_{k}-iou" for k in range(1, 6)]
    assert len(json.loads((tmp_path / "tiny" / "dissect" / "units.json").read_text())["paint"]) == 4


def test_a_dry_run_writes_nothing(tmp_path, context):
    context.dry_run = True
    call(tmp_path, context)
    assert not any(tmp_path.iterdir())


def test_bad_input_is_refused_before_drawing(tmp_path, context):
    with pytest.raises(LayerNameError, match=r"no layer 'layer9': Artist has paint"):
        call(tmp_path, context, layers=["layer9"])
    with pytest.raises(LayerNameError, match=r"no layer 'layer9': Artist has paint"):
        call(tmp_path, context, excluded_units={"layer9": [1]})
    with pytest.raises(LatentError, match="Painter has no latent_dim"):
        dissect(Painter(), Finder(), ["paint"], context)
    with pytest.raises(SegmentationError, match="Artist is no segmenter, it has no labels, categories, segment"):
        dissect(Artist(), Artist(), ["paint"], context)
    assert not any(tmp_path.iterdir())


def test_excluded_units_and_the_folder_are_checked_before_drawing(tmp_path, context, monkeypatch):
    drawn = []
    monkeypatch.setattr(Artist, "forward", lambda self, given: drawn.append(len(given)) or Painter.forward(self, given))
    with pytest.raises(DissectionError, match=r"excluded units \[4\] do not exist: the layer has units 0 to 3"):
        call(tmp_path, context, excluded_units={"paint": [4]})
    with pytest.raises(DissectionError, match="all 4 units of the layer are excluded"):
        call(tmp_path, context, excluded_units={"paint": [0, 1, 2, 3]})
    with pytest.raises(LayerNameError, match=r"units of layer 'other' are excluded; the dissected layers are paint"):
        dissect(with_another_layer(), Finder(), ["paint"], context, excluded_units={"other": [1]})
    assert not any(tmp_path.iterdir())
    (tmp_path / "tiny").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"run\.folder"):
        call(tmp_path, context)
    assert drawn == [1] * 4


def with_another_layer():
    artist = Artist()
    artist.other = torch.nn.Identity()
    return artist


def test_the_config_runs_on_published_weights_and_an_attribute_segmenter(assets, tmp_path):
    case = read_case(assets / "parity" / "progan_ablation_tiny.json", tmp_path)
    torch.save(case.state("generator.pth"), tmp_path / "generator.pth")
    save_segmenter(AttributeSegmenter(SmallSegmenter((8, 8, 8))).eval(), tmp_path / "segmenter.safetensors", {})
    command = [
        sys.executable, str(ROOT / "run.py"), "-f", "words_by_drawing/dissect.yaml",
        "generator.type=published.words_by_drawing.progan.load", f"generator.path={tmp_path}/generator.pth",
        f"segmenter.path={tmp_path}/segmenter.safetensors", "samples=3", "threshold=0.1", "layers=[layer4, layer6]",
        f"run.folder={tmp_path}/runs",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs" / "words_by_drawing" / "dissect" / "dissect.json").read_text())
    assert [layer["layer"] for layer in record["layers"]] == ["layer4", "layer6"]
    assert len(record["layers"][0]["units"][0]["top"]) == 3
