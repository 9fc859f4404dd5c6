"""The text log of a run: what is said before its folder is known, during it, and when it goes on."""

import logging
import os

import pytest

from engine import text_log
from engine.run_folder import RunFolder

log = logging.getLogger("a.part")
VALUES = {"entry": "main.train", "seed": 1}


@pytest.fixture(autouse=True)
def all_levels(caplog):
    """Records of every level, and no file or early record of this test left to others."""
    caplog.set_level(logging.INFO)
    text_log.end()
    yield
    text_log.end()
    logging.getLogger().removeHandler(text_log._early)


def lines(folder):
    """What the log says without the times."""
    return [line.split(" ", 2)[2] for line in (folder.path / "log.txt").read_text().splitlines()]


def test_everything_that_is_said_is_there(tmp_path):
    text_log.keep_early()
    log.info("before %s", "it")
    log.debug("not of the console")
    folder = RunFolder(tmp_path / "run")
    folder.prepare(VALUES, "auto", ["run.py", "-f", "a b"])
    log.warning("within, \ud800")
    text_log.note("a table")
    folder.release()
    log.info("after")
    text_log.note("after")
    expected = ["INFO command: run.py -f 'a b'", "INFO before it", "WARNING within, \\ud800", "INFO a table"]
    assert lines(folder) == expected
    again = RunFolder(tmp_path / "run")
    again.prepare(VALUES | {"description": "x"}, "auto", ["run.py"])
    log.info("more")
    again.release()
    assert lines(folder) == [
        *expected,
        "INFO command: run.py",
        "INFO run: description was None, is 'x' now",
        "INFO more",
    ]
    again.prepare(VALUES, "overwrite", ["run.py"])
    again.release()
    assert lines(folder) == ["INFO command: run.py"]


def test_another_run_has_a_log_of_its_own(tmp_path):
    folders = [RunFolder(tmp_path / name) for name in ("one", "other")]
    for number, folder in enumerate(folders):
        folder.prepare(VALUES, "auto", ["run.py"])
        log.info("number %d", number)
    folders[1].release()
    assert [lines(folder)[1:] for folder in folders] == [["INFO number 0"], ["INFO number 1"]]


def test_a_log_that_cannot_be_written_ends_with_one_sentence(tmp_path, caplog, capsys):
    """Of a full disk, for which /dev/full stands, and of a folder instead."""
    (tmp_path / "log.txt").symlink_to("/dev/full")
    text_log.begin(tmp_path, ["run.py"])
    log.info("on and on")
    log.info("on and on")
    (tmp_path / "folder" / "log.txt").mkdir(parents=True)
    text_log.begin(tmp_path / "folder", ["run.py"])
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "log.txt cannot be written any more ([Errno 28] No space left on device); the run goes on" in warnings[0]
    assert warnings[1].endswith("folder/log.txt cannot be written (Is a directory); the run goes on without")
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_a_worker_says_is_there_too(tmp_path):
    text_log.begin(tmp_path, ["run.py"])
    if (child := os.fork()) == 0:
        log.info("from a worker")
        os._exit(0)
    os.waitpid(child, 0)
    log.info("from here")
    text_log.end()
    assert lines(RunFolder(tmp_path))[1:] == ["INFO from a worker", "INFO from here"]
