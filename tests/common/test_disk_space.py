"""Full disks, and file systems without second names or locks."""

import errno
import fcntl
import logging
import os
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save_file

from common.disk_space import NoRoomError, full_disk
from common.files import write_whole, written_whole
from common.parallel import locked
from datasets.hdf5_files import created
from datasets.loading.skipped import SkippedFile, read_skipped
from datasets.media_files import write_media
from datasets.spoken_captions.active_learning import ActivePair, write_active
from engine import checkpoint, run_lock
from engine.run_folder import RunFolder
from evaluation.choices import Choice, write_choices
from evaluation.report import unit_plots
from evaluation.report.video import write_video
from gan import shipped
from gan.clusters.clustering import Clusters, save_clusters
from gan.progan.generator import ProganGenerator
from models.segmenter.file import save_segmenter
from models.segmenter.network import AttributeSegmenter, SmallSegmenter
from published.words_by_drawing.negatives import Negative, write_negatives
from published.writing import write_torch_files
from tasks.resdavenet_vq.encoder_file import save_encoder
from tasks.words_by_drawing.experiments.experiment import write_table
from tasks.words_by_drawing.experiments.search_log import Searched
from tests.disk import file_limit


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


def _segmenter(folder):
    return save_segmenter(AttributeSegmenter(SmallSegmenter((8, 8, 8)), 32), folder / "segmenter.safetensors", {})


def _selection(folder):
    maps = np.zeros((40, 40), np.float32)
    write_active(folder, [ActivePair(1, np.arange(3), maps, maps)], "layer4", {})


def _figure(folder):
    figure = Figure((3, 3))
    figure.subplots()
    unit_plots.save(figure, folder / "figure")


def _video(folder):
    noise = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    write_video(folder / "one.mp4", list(noise), np.zeros(200, np.float32), 1000)


WRITERS = {
    "clusters": lambda folder: save_clusters(Clusters(torch.ones(3, 99), *torch.ones(2, 99)), folder / "c.safetensors"),
    "encoder": lambda folder: save_encoder(torch.nn.Linear(30, 30), folder / "encoder.json", {}),
    "card": lambda folder: save_encoder(torch.nn.Linear(1, 1), folder / "encoder.json", {"about": "x" * 3000}),
    "generator": lambda folder: shipped.save(ProganGenerator(8, [8, 8]), "small", {}, folder),
    "segmenter": _segmenter,
    "negatives": lambda folder: write_negatives(folder / "n.pth.tar", {1: [Negative((1, 2), torch.zeros(900))]}),
    "selection": _selection,
    "published": lambda folder: write_torch_files({folder / "models" / "a.pth": {"w": torch.zeros(900)}}, {}),
    "video": _video,
    "table": lambda folder: write_table(folder / "table.csv", ["name"], [["x" * 3000]]),
    "choices": lambda folder: write_choices(folder / "choices.csv", [Choice("a", "x" * 3000, np.array([1.0, 0]))]),
    "figure": _figure,
    "search": lambda folder: Searched(folder / "search.jsonl", {"text": "x" * 3000}),
    "image": lambda folder: write_media(folder / "images" / "1.png", bytes(3000)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_results_without_room_are_one_sentence_and_nothing_stays(tmp_path, write):
    with file_limit(2000), pytest.raises(NoRoomError, match=rf"no room in {tmp_path}\S* \(File too large\): free some"):
        write(tmp_path / "new")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _numpy(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3000))  # says "requested and written" of whatever stopped it


def _hdf5(path):
    with created(path) as file:  # h5py.File(path, "w") itself ends the program by SIGSEGV
        file["x"] = np.random.default_rng(0).random(3000)


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", bytes(3000))


LIBRARIES = {
    "hdf5": _hdf5,
    "torch": lambda path: torch.save(torch.zeros(3000), path),
    "safetensors": lambda path: save_file({"x": torch.zeros(3000)}, path),
    "numpy": _numpy,
    "zip": _zip,
    "sound": lambda path: soundfile.write(path, np.zeros(3000), 16_000, format="WAV"),
    "image": lambda path: Image.effect_noise((64, 64), 100).save(path, "PNG"),
}


@pytest.mark.parametrize("write", LIBRARIES.values(), ids=LIBRARIES)
def test_every_library_may_write_whole_files(tmp_path, write):
    sentence = rf"no room in {tmp_path} \(File too large\): free some"
    with file_limit(2000), pytest.raises(NoRoomError, match=sentence), written_whole(tmp_path / "result") as temporary:
        write(temporary)
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_found_no_room_leaves_no_half(tmp_path):
    skipped = SkippedFile(tmp_path / "skipped.csv")
    skipped.add("train", 1, "broken")
    with file_limit(100), pytest.raises(NoRoomError):
        skipped.add("train", 2, "x" * 200)
    skipped.add("train", 3, "broken")
    assert read_skipped(skipped.path) == [("train", 1, "broken"), ("train", 3, "broken")]
