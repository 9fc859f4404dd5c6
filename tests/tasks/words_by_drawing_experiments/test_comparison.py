"""The comparison runs what is missing, in order and once, says what was run, and ends what it started."""

import json
import os
import signal
import sys
import threading
import time

import pytest

import config
from engine.context import Context
from engine.errors import UserError
from tasks.words_by_drawing_experiments import runs
from tasks.words_by_drawing_experiments.comparison import Check, Column, Step, compare

EVALUATE = Check("words_by_drawing/evaluate.yaml", [], {"recall": Column("A_r1", 0.5)})
ARGUMENTS = {
    "seeds": [0, 3],
    "warm_up": Step("words_by_drawing/warm_up.yaml"),
    "trainings": {"regular": Step("words_by_drawing/train_regular.yaml", ["trainer.epochs=2"])},
    "tests": {"recall": EVALUATE},
}


def context(dry_run=False):
    return Context("words_by_drawing/compare", {"entry": "tested"}, ["run.py"], dry_run)


@pytest.fixture
def calls(monkeypatch):
    """Commands instead of runs: each leaves what a finished run leaves, with the value of its seed."""
    made = []

    def call(command):
        file, settings = command[command.index("-f") + 1], command[command.index("-f") + 2 :]
        values = config.check(config.load(file, settings))
        folder = config.resolve_path(values["run"]["folder"]) / values["run"]["name"]
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config.dump(values))
        seed = next(int(part.removeprefix("seed_")) for part in folder.parts if part.startswith("seed_"))
        (folder / "metrics.json").write_text(json.dumps({"A_r1": 0.5 + seed / 10}))
        made.append((folder, values))
        return 0

    monkeypatch.setattr(runs, "call", call)
    return made


def test_every_run_once_in_order_and_a_table(calls, tmp_path):
    compare(**ARGUMENTS, context=context(), folder=tmp_path)
    names = ["warm_up/seed_{0}", "regular/seed_{0}", "warm_up/seed_{0}/tests/recall", "regular/seed_{0}/tests/recall"]
    expected = [tmp_path / name.format(seed) for seed in (0, 3) for name in names]
    assert [folder for folder, _ in calls] == expected
    regular = calls[1][1]
    assert regular["seed"] == 0
    assert regular["trainer"]["epochs"] == 2
    assert regular["init_from"]["path"] == str(tmp_path / "warm_up" / "seed_0")
    assert calls[3][1]["model"]["run"] == str(tmp_path / "regular" / "seed_0")
    table = (tmp_path / "comparison.md").read_text()
    assert "| recall | **0.650 ± 0.212** | **0.650 ± 0.212** | 0.500 |" in table
    assert "trainer.epochs=2" in table
    assert json.loads((tmp_path / "comparison.json").read_text())["table"]["regular"]["recall"]["values"] == {
        "0": 0.5,
        "3": 0.8,
    }
    assert (tmp_path / "comparison.csv").read_text().count("regular,") == 2


def test_finished_runs_are_passed_over_and_seeds_can_be_shared_out(calls, tmp_path):
    compare(**ARGUMENTS | {"seeds": [3]}, context=context(), folder=tmp_path)
    assert "seeds 3." in (tmp_path / "comparison.md").read_text()
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path)
    assert "seeds 0, 3." in (tmp_path / "comparison.md").read_text()
    before = len(calls)
    compare(**ARGUMENTS, context=context(), folder=tmp_path)
    assert len(calls) == before == 8


def test_changed_settings_are_not_taken_for_finished(calls, tmp_path):
    compare(**ARGUMENTS | {"seeds": [0]}, context=context(), folder=tmp_path)
    changed = {"trainings": {"regular": Step("words_by_drawing/train_regular.yaml", ["trainer.epochs=3"])}}
    with pytest.raises(FileExistsError):  # it was called again, and the stand-in finds its folder
        compare(**ARGUMENTS | changed | {"seeds": [0]}, context=context(), folder=tmp_path)


def test_a_failed_run_ends_it_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "call", lambda _command: 2)
    with pytest.raises(UserError, match=r"seed_0 ended with exit code 2 .* alone: python run.py -f words_by"):
        compare(**ARGUMENTS, context=context(), folder=tmp_path)


def test_faults_are_told_before_anything_runs(calls, tmp_path):
    wrong = {"tests": {"recall": Check("words_by_drawing/evaluate.yaml", ["pairs=none"])}}
    with pytest.raises(config.ConfigError, match="pairs"):
        compare(**ARGUMENTS | wrong, context=context(), folder=tmp_path)
    with pytest.raises(UserError, match="warm_up"):
        compare(**ARGUMENTS | {"trainings": {"warm_up": Step("a.yaml")}}, context=context(), folder=tmp_path)
    compare(**ARGUMENTS, context=context(dry_run=True), folder=tmp_path)
    assert calls == []


def test_a_command_is_told_to_stop_once_and_waited_for(tmp_path):
    told = tmp_path / "told"
    (tmp_path / "child.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"told = pathlib.Path({str(told)!r})\n"
        "def stop(*_):\n    time.sleep(0.3); told.write_text('saved'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )

    def interrupt():
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        runs.call([sys.executable, str(tmp_path / "child.py")])
    assert told.read_text() == "saved"
