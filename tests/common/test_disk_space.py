"""Full disks, and file systems without second names or locks."""

import errno
import fcntl
import logging
import os
import resource
from contextlib import contextmanager

import pytest
import torch

from common.disk_space import NoRoomError, full_disk
from common.files import write_whole
from common.parallel import locked
from datasets.loading.skipped import SkippedFile, read_skipped
from engine import checkpoint, run_lock
from engine.run_folder import RunFolder


@contextmanager
def file_limit(size):
    """Let no file grow beyond ``size`` bytes, which fails as a full disk does (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_without_room_is_one_sentence_and_the_older_one_is_whole(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.write(path, {"weights": torch.arange(1000)})
    with file_limit(100_000), pytest.raises(NoRoomError, match=rf"no room in {tmp_path} \(File too large\): free some"):
        checkpoint.write(path, {"weights": torch.zeros(100_000)})
    assert torch.equal(checkpoint.read(path)["weights"], torch.arange(1000))
    assert [found.name for found in tmp_path.iterdir()] == ["last.pt"]


def test_other_files_without_room(tmp_path):
    run = RunFolder(tmp_path)
    with file_limit(1000):
        with pytest.raises(NoRoomError, match=f"no room in {tmp_path} "):
            write_whole(tmp_path / "report.html", bytes(2000))
        with pytest.raises(NoRoomError, match=f"no room in {tmp_path} "):
            run.append({"step": 1, "text": "x" * 2000})
    assert run.read_history() == []


def test_what_is_a_full_disk():
    assert full_disk(OSError(errno.ENOSPC, "x")) == "No space left on device"
    assert full_disk(OSError("file write failed: time = now, errno = 28, error message = 'No space left'"))
    assert full_disk(RuntimeError("Problems closing file (errno = 27)")) == "File too large"
    assert full_disk(OSError(errno.EACCES, "x")) is None
    assert full_disk(ValueError("errno = 28")) is None


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_second_names_the_previous_checkpoint_is_a_copy(tmp_path, monkeypatch, number):
    def link(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    checkpoint.write(tmp_path / "last.pt", {"step": 1})
    checkpoint.keep_previous(tmp_path / "last.pt")
    checkpoint.write(tmp_path / "last.pt", {"step": 2})
    assert checkpoint.read(tmp_path / "previous.pt")["step"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_everything_goes_on_with_the_same_warning(tmp_path, monkeypatch, caplog, number):
    def flock(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    caplog.set_level(logging.WARNING)
    for name in ("run", "job", "list"):
        (tmp_path / name).mkdir()
    run_lock.hold(tmp_path / "run")
    with locked(tmp_path / "job" / ".lock"):
        pass
    skipped = SkippedFile(tmp_path / "list" / "skipped.csv")
    for row in (3, 4):
        skipped.add("train", row, "broken")
    assert read_skipped(skipped.path) == [("train", 3, "broken"), ("train", 4, "broken")]
    assert caplog.messages == [
        f"{tmp_path / name} cannot be locked ({os.strerror(number)}): do not start a second program that writes in it"
        for name in ("run", "job", "list")
    ]
