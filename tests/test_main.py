"""Metrics that main shows in a run folder, and runs that it refuses."""

import json
import shutil
import signal

import pytest
import torch

import config
import main
import run
from common.errors import UserError
from engine import exit_codes
from engine import signals as stop
from engine.context import Context
from tests.test_run import TINY


@pytest.fixture(autouse=True)
def same_random_state():
    """Runs in this process seed everything; what comes after must not notice."""
    with torch.random.fork_rng():
        yield


def call(tmp_path, *overrides):
    loaded = config.load(TINY, [f"run.folder={tmp_path}", *overrides])
    values = config.check(loaded)
    config.call_entry(values, context=Context(loaded.name, values, ["run.py"], dry_run=False))


def killed(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("go_on", ["run.resume=auto", "run.resume=overwrite"])
def test_a_kill_before_the_report_leaves_no_metrics_of_the_shorter_run(tmp_path, monkeypatch, caplog, go_on):
    caplog.set_level("INFO")
    metrics = tmp_path / "tiny" / "metrics.json"
    call(tmp_path, "trainer.epochs=1")
    metrics.write_text(json.dumps({"of": "the shorter run"}))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(main, "finish", killed)
        call(tmp_path, "trainer.epochs=2", go_on)
    assert not metrics.exists()
    call(tmp_path, "trainer.epochs=2")
    assert "nothing was trained" not in caplog.text
    assert json.loads(metrics.read_text())["n"] == 4
    metrics.write_text("{cut")
    call(tmp_path, "trainer.epochs=2")
    assert "nothing was trained" not in caplog.text
    call(tmp_path, "trainer.epochs=2")
    assert "nothing was trained" in caplog.text


def test_an_evaluation_obeys_run_resume(tmp_path, monkeypatch):
    call(tmp_path, "trainer.epochs=1")
    arguments = ["entry=main.evaluate", f"init_from.path={tmp_path}/tiny", "run.name=again"]
    call(tmp_path, *arguments)
    folder = tmp_path / "again"
    (folder / "skipped.csv").write_text("old")
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"again already holds a run"):
        patch.setattr(main, "build_task", killed)  # it is refused before anything is built
        call(tmp_path, *arguments, "run.resume=never")
    call(tmp_path, *arguments, "run.resume=overwrite")
    assert not (folder / "skipped.csv").exists()
    assert len((folder / "info.jsonl").read_text().splitlines()) == 2


def stopped_at(monkeypatch, capsys, place, *arguments):
    """What run.py says last when SIGTERM comes as ``place`` of main is called."""

    def stopped(*_, **__):
        raise KeyboardInterrupt(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(main, place, stopped)
        patch.setattr(run.signal, "signal", lambda *_: None)
        assert run.main(["-f", TINY, *arguments]) == 128 + signal.SIGTERM
    return capsys.readouterr().err.splitlines()[-1]


def test_a_stop_before_the_first_checkpoint_promises_none(tmp_path, monkeypatch, capsys):
    begin = "stopped; no checkpoint was saved yet; the same command starts the training from the beginning"
    folder = f"run.folder={tmp_path}"
    assert stopped_at(monkeypatch, capsys, "build_task", folder) == begin
    assert stopped_at(monkeypatch, capsys, "Trainer", folder) == begin
    again = begin.replace("command", "command with run.resume=auto")  # as it is, it would be refused now
    assert stopped_at(monkeypatch, capsys, "Trainer", f"run.folder={tmp_path}/new", "run.resume=never") == again
    assert stopped_at(monkeypatch, capsys, "_dry_run", folder, "--dry-run") == "stopped; a dry run leaves nothing"


def test_a_stop_after_checkpoints_names_them_and_the_command_that_uses_them(tmp_path, monkeypatch, capsys):
    folder, last = f"run.folder={tmp_path}", tmp_path / "tiny" / "checkpoints" / "last.pt"
    short = ["trainer.epochs=1", folder]
    goes_on = f"stopped; the same command goes on from {last}"
    assert stopped_at(monkeypatch, capsys, "finish", *short) == goes_on
    assert stopped_at(monkeypatch, capsys, "build_task", *short) == goes_on
    over = [*short, "run.resume=overwrite"]
    assert "starts the training from the beginning" in stopped_at(monkeypatch, capsys, "build_task", *over)
    message = stopped_at(monkeypatch, capsys, "finish", *over)
    assert message == f"stopped; the same command with run.resume=auto goes on from {last}"
    evaluate = ["entry=main.evaluate", f"init_from.path={tmp_path}/tiny", folder, "run.name=again"]
    message = stopped_at(monkeypatch, capsys, "_report", *evaluate)
    assert message == "stopped; the same command starts the evaluation from the beginning"


def test_a_stopped_entry_that_says_nothing_promises_little(tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt(signal.SIGTERM)

    monkeypatch.setattr(config, "call_entry", stopped)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    assert run.main(["-f", "world/build.yaml", f"world.folder={tmp_path}"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.endswith("stopped; the same command does what was not finished\n")


def test_signals_are_answered_once_the_entry_is_called(tmp_path, monkeypatch):
    """Before, during seconds of imports and checks, they end the program at once and without words."""
    found, check = {}, config.check

    def checked(loaded):
        found["check"] = signal.getsignal(signal.SIGTERM)
        return check(loaded)

    def called(*_, **__):
        found["entry"] = signal.getsignal(signal.SIGTERM)

    monkeypatch.setattr(config, "check", checked)
    monkeypatch.setattr(config, "call_entry", called)
    former = stop.handle(signal.SIG_DFL)
    try:
        assert run.main(["-f", TINY, f"run.folder={tmp_path}"]) == 0
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert found["check"] is signal.SIG_DFL
    assert isinstance(found["entry"], stop.Interruption)


@pytest.mark.parametrize("given", [(), (signal.SIGTERM,)])
def test_a_signal_when_all_is_said_ends_at_once(monkeypatch, given):
    def ended(number):
        raise SystemExit(128 + number)

    def late(_):
        raise KeyboardInterrupt(*given)

    monkeypatch.setattr(exit_codes, "exit_code_of", late)
    monkeypatch.setattr(stop, "end_at_once", ended)
    with pytest.raises(SystemExit) as end:
        exit_codes.exit_code_at_the_end(lambda: 0)
    assert end.value.code == 128 + (given or (signal.SIGINT,))[0]


@pytest.mark.parametrize("entry", ["main.train", "main.evaluate"])
def test_a_missing_checkpoint_is_reported_before_anything_is_built(tmp_path, monkeypatch, entry):
    monkeypatch.setattr(main, "build_task", killed)
    with pytest.raises(UserError, match=r"there is no checkpoint at .*nope; give a run folder"):
        call(tmp_path, f"entry={entry}", f"init_from.path={tmp_path}/nope")


@pytest.mark.parametrize("name", ["audio/wavs/0/utterance_1000.wav", "images"])
def test_a_file_replaced_by_another_of_its_name_is_refused(tmp_path, name):
    """The manifest's rows are the same ones."""
    corpus = tmp_path / "corpus"
    shutil.copytree(config.PROJECT_ROOT / "tests/assets/formats/places", corpus)
    given = [f"data.{split}.manifest={corpus}/metadata.json" for split in ("train", "validation")]
    call(tmp_path, "trainer.epochs=1", *given)
    files = sorted(path for path in [corpus / name, *(corpus / name).rglob("*")] if path.is_file())
    files[0].write_bytes(files[1].read_bytes() if len(files) > 1 else files[0].read_bytes()[:-200] + bytes(200))
    changed = r"other data than this config finds \(files of the training set: .*put back what was there"
    with pytest.raises(UserError, match=changed):
        call(tmp_path, "trainer.epochs=2", *given)
    call(tmp_path, "trainer.epochs=2", "run.changed_data=accept", *given)
