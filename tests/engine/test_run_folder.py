"""The run folder: what is kept, and when a run may go on."""

import json
from pathlib import Path

import pytest

import config
from common.errors import UserError
from config.moved import MOVED, OFFERED
from engine.run_folder import REPORT_FILES, RunFolder, RunSettings
from engine.run_info import run_info

VALUES = {"seed": 1, "task": {"lr": 0.1}, "trainer": {"epochs": 3}, "data": {"workers": 0}}


def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.prepare(VALUES, "auto", ["run.py"])
    (made.checkpoints / "last.pt").write_bytes(b"x")
    return made


def test_longer_training_and_more_workers_may_go_on(tmp_path):
    values = VALUES | {"trainer": {"epochs": 9}, "data": {"workers": 4}}
    folder(tmp_path).prepare(values, "auto", ["run.py"])
    assert "epochs: 9" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_row_that_a_full_disk_cut_does_not_spoil_the_next(tmp_path):
    made = folder(tmp_path)
    info = made.path / "info.jsonl"
    info.write_bytes(info.read_bytes() + b'{"started": "20')
    folder(tmp_path)
    assert [sorted(json.loads(line)) == sorted(run_info([], 1)) for line in info.read_text().splitlines()] == [True] * 2


def test_a_run_that_a_damaged_file_stopped_may_go_on_without_it(tmp_path, caplog):
    caplog.set_level("INFO")
    folder(tmp_path).prepare(VALUES | {"data": {"workers": 0, "on_error": "skip"}}, "auto", ["run.py"])
    assert "data.on_error was None, is 'skip' now" in caplog.text


def test_other_settings_may_not(tmp_path):
    made = folder(tmp_path)
    with pytest.raises(
        UserError, match=r"(?s)another config:\n  task\.lr: 0\.1 there, 0\.2 now.*run\.resume=overwrite"
    ):
        made.prepare(VALUES | {"task": {"lr": 0.2}}, "auto", ["run.py"])
    with pytest.raises(UserError, match="already holds a run"):
        made.prepare(VALUES, "never", ["run.py"])
    made.prepare(VALUES | {"task": {"lr": 0.2}}, "overwrite", ["run.py"])
    assert not (made.checkpoints / "last.pt").exists()


def test_a_key_that_came_later_counts_with_its_default(tmp_path):
    values = config.check(config.load("tests/assets/configs/tiny.yaml", []))
    made = RunFolder(tmp_path / "run")
    made.prepare(values, "auto", ["run.py"])
    (made.checkpoints / "last.pt").write_bytes(b"x")
    former = dict(values) | {"trainer": {k: v for k, v in values["trainer"].items() if k != "clip_norm"}}
    former.pop("deterministic")
    made.config.write_text(config.dump(former))
    made.check(values, "auto")
    with pytest.raises(UserError, match="deterministic: False there, True now"):
        made.check(values | {"deterministic": True}, "auto")


def test_a_run_made_before_its_modules_moved_goes_on(tmp_path):
    values = config.check(config.load("tests/assets/configs/tiny.yaml", []))
    made = RunFolder(tmp_path / "run")
    made.prepare(values, "auto", ["run.py"])
    (made.checkpoints / "last.pt").write_bytes(b"x")
    written = made.config.read_text()
    former = written
    for old, new in MOVED.items():
        former = former.replace(f"type: {new}.", f"type: {old}.")
    for old, new in OFFERED.items():
        former = former.replace(f"type: {new}\n", f"type: {old}\n")
    assert former != written
    made.config.write_text(former)
    with pytest.raises(UserError) as error:
        made.check(values | {"deterministic": not values["deterministic"]}, "auto")
    assert str(error.value).count(" there, ") == 1
    made.prepare(values, "auto", ["run.py"])
    assert made.config.read_text() == written


def test_overwrite_leaves_nothing_of_the_former_report(tmp_path):
    made = folder(tmp_path)
    for name in REPORT_FILES:
        (made.path / name).write_text("old")
    made.prepare(VALUES, "overwrite", ["run.py"])
    assert sorted(path.name for path in made.path.iterdir()) == [
        ".lock", "checkpoints", "config.yaml", "info.jsonl", "log.txt",
    ]  # fmt: skip


def test_what_torchrun_starts_again_goes_on(monkeypatch):
    assert [RunSettings(resume=how).resume_now for how in ("auto", "never", "overwrite")] == [
        "auto",
        "never",
        "overwrite",
    ]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert RunSettings(resume="overwrite").resume_now == "overwrite"
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert RunSettings(resume="overwrite").resume_now == RunSettings(resume="never").resume_now == "auto"


def test_a_folder_that_cannot_be_made_is_refused_at_the_start_with_its_key(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "run", tmp_path / "file"):
        for begin in (
            lambda run: run.check(VALUES, "auto"),
            lambda run: run.prepare(VALUES, "auto", ["run.py"]),
        ):
            with pytest.raises(
                UserError, match=r"run\.folder: .*/file.* cannot be .*give another run\.folder="
            ) as error:
                begin(RunFolder(path))
            assert "Not a directory" in str(error.value)
    RunFolder(tmp_path / "new" / "run").check(VALUES, "auto")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # the trial left nothing


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_folder_below_proc_cannot_be_made_even_by_root():
    with pytest.raises(UserError, match=r"run\.folder: .*/proc/runs/run, cannot be made in /proc"):
        RunFolder(Path("/proc/runs/run")).check(VALUES, "auto")


def test_a_cut_history_line_is_left_out(tmp_path, caplog):
    made = folder(tmp_path)
    made.append({"step": 1, "epoch": 0, "loss": 2.0})
    made.append({"step": 2, "epoch": 0, "loss": 1.0})
    with made.history.open("a") as file:
        file.write('{"step": 3, "lo')
    assert made.curves() == {"loss": [(1, 2.0), (2, 1.0)]}
    assert "left out a damaged line" in caplog.text
    made.keep_history(1, rows=None)
    assert made.curves() == {"loss": [(1, 2.0)]}


def test_lines_that_are_no_rows_are_left_out_and_only_those_of_the_checkpoint_kept(tmp_path, caplog):
    made = folder(tmp_path)
    made.append({"step": 1, "loss": 2.0})
    with made.history.open("a") as file:
        file.write('[1, 2]\n{"loss": 1.0}\n{"step": -4, "loss": 1.0}\n{"step": "2"}\n')
    made.append({"step": 2, "loss": 1.5})
    made.append({"step": 2, "accuracy": 0.5})
    assert made.curves() == {"loss": [(1, 2.0), (2, 1.5)], "accuracy": [(2, 0.5)]}
    assert "left out 4 damaged lines" in caplog.text
    made.keep_history(2, rows=6)  # the checkpoint of step 2 was written before its evaluation
    assert made.curves() == {"loss": [(1, 2.0), (2, 1.5)]}
    assert (made.rows, made.first_new_step) == (2, 2)
    made.keep_history(2, rows=3)
    assert "has 2 rows, but had 3 at step 2" in caplog.text


def test_whole_numbers_of_hundreds_of_digits_are_no_rows(tmp_path):
    run = RunFolder(tmp_path)
    run.history.write_text(f'{{"step": 1, "loss": {"9" * 400}}}\n{{"step": {"9" * 400}}}\n{{"step": 2, "loss": 0.5}}\n')
    assert run.curves() == {"loss": [(2, 0.5)]}


def test_what_a_killed_save_left_is_swept_at_the_next_start(tmp_path):
    made = folder(tmp_path)
    left = [made.checkpoints / ".last.pt.tmp", made.checkpoints / ".previous.pt.tmp", made.path / ".report.html.tmp"]
    for path in left:
        path.write_bytes(b"half")
    made.prepare(VALUES, "auto", ["run.py"])
    assert not any(path.exists() for path in left)
    assert (made.checkpoints / "last.pt").exists()


def test_info_names_what_repeats_a_run():
    info = run_info(["run.py", "-f", "x"], 3)
    assert info["seed"] == 3
    assert info["packages"]["numpy"]
    assert info["machine"]["cores"] >= 1
    assert len(info["commit"].removesuffix("+changes")) == 40
