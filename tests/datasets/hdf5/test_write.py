"""The HDF5 pair: the published layout, restart after kill -9, bad rows, and no overwriting."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from common.errors import UserError
from datasets.audio.log_mel import log_mel
from datasets.audio.read import read_audio
from datasets.hdf5 import write as hdf5
from datasets.hdf5.write import HDF5Pair, preprocess
from datasets.loading.loader import Loader
from datasets.loading.rows import ManifestError, SampleError
from datasets.spoken_captions.places_manifest import read_places
from datasets.spoken_captions.readers import PlacesHDF5
from tests.datasets.conftest import write_corpus

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def pair(corpus):
    return HDF5Pair(manifest=corpus, max_frames=64, workers=1)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_layout_is_the_published_one(pair, compression):
    pair = replace(pair, compression=compression)
    preprocess(pair)
    records = read_places(pair.manifest).records
    with h5py.File(pair.audio) as audio, h5py.File(pair.image) as image:
        assert audio["melspec"].shape == (11, 40, 64)
        assert audio["melspec"].dtype == np.float32
        assert audio["melspec_len"].dtype == np.int64
        assert h5py.check_vlen_dtype(image["image"].dtype) == np.uint8
        for row, record in enumerate(records):
            mel = log_mel(torch.from_numpy(read_audio(record.audio_path))).values[:, :64]
            frames = audio["melspec_len"][row]
            assert frames == mel.shape[1]
            np.testing.assert_array_equal(audio["melspec"][row, :, :frames], mel)
            assert (audio["melspec"][row, :, frames:] == 0).all()
            assert image["image"][row].tobytes() == record.image_path.read_bytes()
    assert read_places(pair.json, need="hdf5").audio_hdf5 == pair.audio
    assert list(read_places(pair.json, need="files").records) == list(records)
    assert not pair.parts.exists()


def test_several_processes_write_the_same(pair, monkeypatch):
    monkeypatch.setattr(hdf5, "SHARD", 3)
    preprocess(pair)
    several = replace(pair, folder=pair.manifest.parent / "other", workers=2)
    preprocess(several)
    with h5py.File(pair.audio) as one, h5py.File(several.audio) as two:
        assert len(one["melspec"]) == len(read_places(pair.manifest, need="files").records)
        np.testing.assert_array_equal(one["melspec"][:], two["melspec"][:])
        np.testing.assert_array_equal(one["melspec_len"][:], two["melspec_len"][:])
    with h5py.File(pair.image) as one, h5py.File(several.image) as two:
        assert [row.tobytes() for row in one["image"]] == [row.tobytes() for row in two["image"]]


def test_a_finished_pair_is_left_alone(pair, tmp_path):
    preprocess(pair)
    before = pair.audio.stat().st_mtime_ns
    preprocess(pair)
    assert pair.audio.stat().st_mtime_ns == before
    with pytest.raises(ManifestError, match=r"train\.json is there already and was made from .*'max_frames': 64"):
        preprocess(replace(pair, max_frames=32))


def test_bad_rows_stop_or_are_left_out(pair):
    (pair.manifest.parent / "wavs" / "4.wav").write_bytes(b"")
    advice = r"\(or leave such rows out with data\.on_error=skip\)$"
    with pytest.raises(SampleError, match=r"train\.json: row 4 \(utt4\): .*4\.wav: .*empty.*" + advice):
        preprocess(pair)
    assert not pair.json.exists()
    preprocess(replace(pair, on_error="skip"))
    assert "row 4 (utt4)" in pair.skipped.read_text()
    records = read_places(pair.json, need="files").records
    assert [record.uttid for record in records] == [f"utt{row}" for row in range(11) if row != 4]
    with h5py.File(pair.audio) as audio, h5py.File(pair.image) as image:
        assert len(audio["melspec"]) == len(image["image"]) == 10


def test_silent_rows_stop_or_are_left_out(pair):
    soundfile.write(pair.manifest.parent / "wavs" / "4.wav", np.zeros(4000), 16000)
    with pytest.raises(SampleError, match=r"row 4 \(utt4\): .*4\.wav: holds only silence"):
        preprocess(pair)
    preprocess(replace(pair, on_error="skip"))
    assert "4.wav: holds only silence" in pair.skipped.read_text()
    assert len(read_places(pair.json, need="files").records) == 10


def test_names_that_are_not_in_utf8_are_listed(pair):
    content = json.loads(pair.manifest.read_text())
    content["data"][4]["wav"] = "caf\udce9.wav"
    pair.manifest.write_text(json.dumps(content))
    (pair.manifest.parent / "wavs" / "caf\udce9.wav").write_bytes(b"")
    preprocess(replace(pair, on_error="skip"))
    assert "caf\\udce9.wav" in pair.skipped.read_text()
    assert len(read_places(pair.json).records) == 10


def test_blank_images_stop_or_are_left_out(pair):
    Image.new("RGBA", (50, 40), (1, 2, 3, 0)).save(pair.manifest.parent / "images" / "4.png")
    with pytest.raises(SampleError, match=r"row 4 \(utt4\): .*4\.png: shows nothing"):
        preprocess(pair)
    preprocess(replace(pair, on_error="skip"))
    assert "4.png: shows nothing" in pair.skipped.read_text()
    assert len(read_places(pair.json, need="files").records) == 10


def damage(pair, *rows):
    """Cuts sounds short; returns what makes them whole again."""
    files = {row: pair.manifest.parent / "wavs" / f"{row}.wav" for row in rows}
    whole = {row: path.read_bytes() for row, path in files.items()}
    for path in files.values():
        path.write_bytes(path.read_bytes()[:-200])
    return lambda *mended: [files[row].write_bytes(whole[row]) for row in mended]


def assert_same(one, two):
    """Two pairs hold the same rows."""
    assert list(read_places(one.json, need="files").records) == list(read_places(two.json, need="files").records)
    for left, right in ((one.audio, two.audio), (one.image, two.image)):
        with h5py.File(left) as a, h5py.File(right) as b:
            assert set(a) == set(b)
            for name in a:
                assert (a[name].shape, a[name].dtype) == (b[name].shape, b[name].dtype)
                assert (a[name].chunks, a[name].compression) == (b[name].chunks, b[name].compression)
                for x, y in zip(a[name][:], b[name][:], strict=True):
                    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_was_left_out_is_tried_again_by_every_later_run(pair, compression, caplog, monkeypatch):
    monkeypatch.setattr(hdf5, "SHARD", 2)
    strict = replace(pair, compression=compression)
    pair, fresh = replace(strict, on_error="skip"), replace(strict, folder=pair.manifest.parent / "fresh")
    mend = damage(pair, 0, 4, 5, 10)
    preprocess(pair)
    listed = json.loads(pair.json.read_text())["left_out"]
    assert [entry["row"] for entry in listed] == [0, 4, 5, 10]
    assert all("breaks off" in entry["reason"] for entry in listed)
    with pytest.raises(SampleError, match=r"row 0 \(utt0\): .*0\.wav: breaks off.*data\.on_error=skip\)$"):
        preprocess(strict)
    before = pair.audio.stat().st_mtime_ns
    caplog.clear()
    preprocess(pair)
    assert pair.audio.stat().st_mtime_ns == before
    assert "4 rows are left out, see" in caplog.text
    mend(0, 5)
    with pytest.raises(SampleError, match=r"row 4 \(utt4\)"):
        preprocess(strict)
    preprocess(pair)
    assert [entry["row"] for entry in json.loads(pair.json.read_text())["left_out"]] == [4, 10]
    assert pair.skipped.read_text().count("breaks off") == 2
    preprocess(replace(fresh, on_error="skip"))
    assert_same(pair, fresh)
    mend(4, 10)
    preprocess(strict)
    assert not pair.skipped.exists()
    assert not pair.parts.exists()
    preprocess(fresh)
    assert_same(pair, fresh)
    assert len(read_places(pair.json).records) == 11


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_kill_while_rows_are_put_in_loses_nothing(pair, monkeypatch, renamed):
    mend = damage(pair, 0, 4, 7)
    pair = replace(pair, on_error="skip")
    preprocess(pair)
    mend(0, 7)
    code = (
        "import os, sys; from pathlib import Path; from datasets.hdf5 import write as hdf5\n"
        "left, replace = int(sys.argv[2]), Path.replace\n"
        "def killed(path, target):\n"
        "    global left\n"
        "    if str(target).endswith('.h5') or (left == 0 and str(target).endswith('train.json')):\n"
        "        if left == 0: os.kill(os.getpid(), 9)\n"
        "        left -= 1\n"
        "    return replace(path, target)\n"
        "Path.replace = killed\n"
        "hdf5.preprocess(hdf5.HDF5Pair(Path(sys.argv[1]), 64, workers=1, on_error='skip'))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(pair.manifest), str(renamed)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not pair.json.exists()
    with pytest.raises(ManifestError, match=r"mend\.json is there already and was made from"):
        preprocess(replace(pair, max_frames=32))
    tried, write = [], hdf5.write_part
    monkeypatch.setattr(hdf5, "write_part", lambda path, rows, *rest: tried.extend(rows) or write(path, rows, *rest))
    preprocess(pair)
    assert tried == [4]  # as in every run; what was mended or in the pair is not made again
    assert [entry["row"] for entry in json.loads(pair.json.read_text())["left_out"]] == [4]
    fresh = replace(pair, folder=pair.manifest.parent / "fresh")
    preprocess(fresh)
    assert_same(pair, fresh)
    assert not pair.parts.exists()


@pytest.mark.parametrize("opened", ["before", "image before"])
@pytest.mark.parametrize("on_error", ["error", "skip"])
def test_a_pair_that_is_mended_while_it_is_read_is_refused(pair, small, opened, on_error):
    """Its rows are others; also for a process that had opened the old images and opens the new sounds."""
    mend = damage(pair, 2)
    preprocess(replace(pair, on_error="skip"))
    dataset = PlacesHDF5(pair.json, small, train=True, on_error=on_error)
    if opened == "image before":
        dataset._file("image")
    mend(2)
    preprocess(pair)
    name = "image" if opened == "before" else "audio"
    message = rf"train_{name}\.h5: was written anew since this run began: it had 10 rows and has 11"
    with pytest.raises(ManifestError, match=message):
        dataset[5]
    with pytest.raises(ManifestError, match=message):
        list(Loader(dataset, 4, 0, True).batches(0))
    assert PlacesHDF5(pair.json, small, train=True)[5]["index"] == 5


def test_a_pair_made_again_with_as_many_rows_is_refused(pair, small):
    preprocess(pair)
    dataset = PlacesHDF5(pair.json, small, train=False)
    old = pair.image.read_bytes()
    pair.json.unlink()
    preprocess(pair)
    with pytest.raises(ManifestError, match="written anew"):
        dataset[5]
    pair.image.write_bytes(old)
    with pytest.raises(ManifestError, match=r"train_audio\.h5 and .*train_image\.h5 were not written together"):
        PlacesHDF5(pair.json, small, train=False)


def test_a_dataset_that_is_not_of_the_pair_is_refused_and_nothing_changes(pair):
    mend = damage(pair, 2)
    preprocess(replace(pair, on_error="skip"))
    with h5py.File(pair.image, "r+") as file:
        file["speaker"] = np.arange(10)
    mend(2)
    with pytest.raises(hdf5.UserError, match=r"train_image\.h5: has a dataset speaker, expected melspec"):
        preprocess(pair)
    assert len(read_places(pair.json, need="hdf5").records) == 10
    with h5py.File(pair.audio) as file:
        assert len(file["melspec"]) == 10


def test_shards_of_a_stopped_run_that_lack_rows_are_looked_at_again(pair, monkeypatch):
    monkeypatch.setattr(hdf5, "SHARD", 3)
    mend = damage(pair, 1, 7)
    with monkeypatch.context() as patch:
        patch.setattr(hdf5, "_put_together", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            preprocess(replace(pair, on_error="skip"))
    with pytest.raises(SampleError, match=r"row 1 \(utt1\): .*1\.wav: breaks off.*data\.on_error=skip\)$"):
        preprocess(pair)
    assert not pair.json.exists()
    mend(1)
    made = []
    write = hdf5.write_part
    monkeypatch.setattr(hdf5, "write_part", lambda path, *rest: made.append(path.name) or write(path, *rest))
    preprocess(replace(pair, on_error="skip"))
    assert made == ["000000000.npz"]
    assert [record.uttid for record in read_places(pair.json).records] == [f"utt{r}" for r in range(11) if r != 7]


def test_a_smaller_pair_that_names_no_reasons_is_made_again(pair, caplog):
    """As runs before the reasons were kept left it."""
    mend = damage(pair, 3)
    preprocess(replace(pair, on_error="skip"))
    content = json.loads(pair.json.read_text())
    del content["left_out"]
    pair.json.write_text(json.dumps(content))
    with pytest.raises(SampleError, match=r"row 3 \(utt3\)"):
        preprocess(pair)
    mend(3)
    with caplog.at_level("INFO"):
        preprocess(pair)
    assert "has 10 of 11 rows and does not say why: making it again" in caplog.text
    assert len(read_places(pair.json).records) == 11


def test_nothing_usable_is_an_error(pair):
    for file in (pair.manifest.parent / "images").iterdir():
        file.write_bytes(b"")
    with pytest.raises(hdf5.UserError, match=r"none of the 11 rows could be decoded, the first: .*row 0"):
        preprocess(replace(pair, on_error="skip"))


def test_shards_of_another_job_are_not_used(pair, monkeypatch):
    monkeypatch.setattr(hdf5, "SHARD", 3)
    monkeypatch.setattr(hdf5, "_put_together", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        preprocess(pair)
    assert len(list(pair.parts.glob("*.npz"))) == 4
    monkeypatch.undo()
    content = json.loads(pair.manifest.read_text())
    content["data"].reverse()
    pair.manifest.write_text(json.dumps(content))
    preprocess(pair)
    assert read_places(pair.json).records[0].uttid == "utt10"
    with h5py.File(pair.audio) as audio:
        assert audio["melspec_len"][0] == min(64, 1 + len(read_audio(pair.manifest.parent / "wavs/10.wav")) // 160)


def test_kill_and_restart_equal_an_uninterrupted_run(tmp_path):
    manifest = write_corpus(tmp_path / "places", 40)
    code = (
        "import sys, time; from pathlib import Path; from datasets.hdf5 import write as hdf5\n"
        "hdf5.SHARD = 4; make = hdf5._make_part\n"
        "def slow(data, job):\n    time.sleep(0.2); return make(data, job)\n"
        "hdf5._make_part = slow\n"
        "hdf5.preprocess(hdf5.HDF5Pair(Path(sys.argv[1]), 64, workers=1))"
    )
    pair = HDF5Pair(manifest, 64, workers=1)
    process = subprocess.Popen([sys.executable, "-c", code, str(manifest)], cwd=ROOT)
    deadline = time.monotonic() + 60
    while len(list(pair.parts.glob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = {path.name: path.stat().st_mtime_ns for path in pair.parts.glob("*.npz")}
    assert 3 <= len(done) < 10
    assert not pair.json.exists()

    made = []
    with pytest.MonkeyPatch.context() as patch:
        make = hdf5._make_part
        patch.setattr(hdf5, "SHARD", 4)
        patch.setattr(hdf5, "_make_part", lambda data, job: made.append(job[0]) or make(data, job))
        preprocess(pair)
    assert len(made) == 10 - len(done)
    fresh = replace(pair, folder=tmp_path / "fresh")
    preprocess(fresh)
    for name in ("audio", "image"):
        with h5py.File(getattr(pair, name)) as resumed, h5py.File(getattr(fresh, name)) as whole:
            for key in whole:
                for left, right in zip(resumed[key][:], whole[key][:], strict=True):
                    np.testing.assert_array_equal(left, right)


def test_runs_from_its_config(corpus):
    command = [sys.executable, "run.py", "-f", "preprocess/hdf5.yaml", f"data.manifest={corpus}", "data.max_frames=128"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    with h5py.File(corpus.parent / "hdf5" / "train_audio.h5") as audio:
        assert audio["melspec"].shape == (11, 40, 128)


def test_impossible_settings(corpus):
    with pytest.raises(ValueError, match="max_frames: found 0"):
        HDF5Pair(corpus, 0)


def test_a_pair_of_spoken_coco_and_of_windows(pair):
    """The pair's JSON has a row for each caption, and its sounds are found for the report."""
    content = json.loads(pair.manifest.read_text())
    rows = [
        {"uttid": row["uttid"], "speaker": "", "text": "\ud83d", "wav": f"wavs\\{row['wav']}"}
        for row in content["data"]
    ]
    content["data"] = [
        {"image": f"images\\{place}.png", "captions": rows[place : place + 2]} for place in range(0, len(rows), 2)
    ]
    pair.manifest.write_text(json.dumps(content | {"audio_base_path": "", "image_base_path": ""}))
    (pair.manifest.parent / "wavs" / "4.wav").write_bytes(b"")
    preprocess(replace(pair, on_error="skip"))
    stored = PlacesHDF5(pair.json, None, train=False)
    assert [stored.record(row).uttid for row in range(len(stored))] == [f"utt{row}" for row in range(11) if row != 4]
    for row in (3, 4):
        np.testing.assert_array_equal(
            stored.waveform(row), read_audio(pair.manifest.parent / "wavs" / f"{3 if row == 3 else 5}.wav")
        )
    preprocess(replace(pair, on_error="skip"))
    assert len(PlacesHDF5(pair.json, None, train=False)) == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"pair|is no whole JSON"),
        ("[]", r"holds \[\], expected the JSON that names a pair: delete that file"),
        ("5", r"holds 5, expected the JSON that names a pair"),
        ("[" * 100_000, r"is no whole JSON \(it is nested too deeply\): delete that file"),
        ("{}", "was made from None, asked for is"),
        ({"left_out": [5]}, r"left_out is \[5\], expected rows with their reasons"),
        ({"left_out": 7}, r"left_out is 7, expected rows"),
    ],
)
def test_a_damaged_json_of_a_pair_is_one_sentence(pair, content, message):
    if isinstance(content, dict):
        content = json.dumps({"made_from": hdf5._source(pair), "data": []} | content)
    pair.json.parent.mkdir()
    pair.json.write_text(content)
    with pytest.raises(UserError, match=message):
        preprocess(pair)


def test_a_json_of_a_pair_without_data_is_made_again(pair):
    pair.json.parent.mkdir()
    pair.json.write_text(json.dumps({"made_from": hdf5._source(pair)}))
    preprocess(pair)
    assert len(json.loads(pair.json.read_bytes())["data"]) == 11
