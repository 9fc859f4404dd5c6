"""Learning words by drawing, from end to end with the generator that comes with the project; and what was stopped.

See tests/gan/test_shipped.py for the generator alone.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from tasks.words_by_drawing.clustering import Clustering
from tasks.words_by_drawing.negatives import NegativeConfig
from tests.tasks.words_by_drawing.generated_data import make_data, make_task, write_captions
from trainer import Stopped, Trainer

ROOT = Path(__file__).resolve().parents[3]


def test_captions_are_built_and_learned_with_the_shipped_generator(tmp_path):
    """The trial of the quick-start, smaller: some dozen of 40 latents, two steps with edited negatives."""
    captions = tmp_path / "captions"
    settings = [f"data.{part}.folder={captions}" for part in ("train", "validation", "test")]
    settings += [f"prepare.captions.folder={captions}", "prepare.captions.candidates=40", "prepare.captions.workers=1"]
    settings += ["data.batch_size=6", "trainer.max_steps=2", "trainer.log_every_steps=1", f"run.folder={tmp_path}"]
    command = [sys.executable, str(ROOT / "run.py"), "-f", "words_by_drawing/quick.yaml", *settings, "run.name=quick"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    built = json.loads((captions / "built.json").read_text())
    assert built["complete"]
    text = (captions / "text" / "0.txt").read_text()  # a small cyan rubber cube, tests/gan/test_shipped.py
    assert "cyan" in text
    rows = [json.loads(line) for line in (tmp_path / "quick" / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if "train/negatives/change" in row]
    assert [row["step"] for row in trained] == [1, 2]
    assert all(row["train/negatives/change"] > 0.05 for row in trained)  # the generator drew something else
    assert all(row["train/edited"] > 0 for row in trained)
    assert json.loads((tmp_path / "quick" / "metrics.json").read_text())["n"] == len(
        (captions / "name_list_test.txt").read_text().split()
    )
    assert (tmp_path / "quick" / "report.html").is_file()


EPOCHS, STEPS = 3, 2  # of an epoch; clusters are found before the first epoch and before the last


def loop_of(captions, folder, stop_after=None):
    """A training with clusters; after so many steps it is asked to stop."""
    clustering = Clustering(epochs_clustering=2, datapoints=6, clusters=3, samples=6)
    task = make_task(
        make_data(captions, batch_size=3), "negatives_edited", negatives=NegativeConfig(["layer4"], 1, clustering)
    )
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    train_step, done = task.train_step, []

    def counted(*given):
        done.append(train_step(*given))
        if len(done) == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        return done[-1]

    task.train_step = counted
    return Trainer(task, TrainerSettings(epochs=EPOCHS), 0, torch.device("cpu"), run, "config: x")


def learned(loop):
    modules = torch.nn.ModuleDict(loop.task.modules)
    return {key: value.clone() for key, value in modules.state_dict().items()}


@pytest.mark.parametrize("stop_after", [3, 4])
def test_a_stopped_training_with_clusters_is_the_uninterrupted_one(tmp_path, stop_after):
    """In the middle of the second epoch, with the clusters of the first; and where clusters are due next."""
    captions = write_captions(tmp_path / "captions", [str(number) for number in range(6)])
    whole = loop_of(captions, tmp_path / "whole")
    whole.fit()
    assert whole.at.step == EPOCHS * STEPS
    first = loop_of(captions, tmp_path / "parts", stop_after)
    with pytest.raises(Stopped):
        first.fit()
    torch.manual_seed(99)  # whatever the new process drew before
    second = loop_of(captions, tmp_path / "parts")
    assert second.saver.resume()
    assert second.at.step == stop_after
    assert second.task.companion.clusters.found.get() is not None
    second.fit()
    expected, found = learned(whole), learned(second)
    assert expected.keys() == found.keys()
    assert int(found["clusters.epoch"]) == 2
    different = [name for name, value in expected.items() if not torch.equal(value, found[name])]
    assert different == []
