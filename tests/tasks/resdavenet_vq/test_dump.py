"""Features as text for ZeroSpeech 2019: layout, values, going on after a stop, zip, bitrate, and the script."""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from config import PROJECT_ROOT
from datasets.spoken_captions.sound_folder import SoundFolder
from evaluation.abx.zerospeech import read_features
from tasks.resdavenet_vq import dump as module
from tasks.resdavenet_vq.dump import dump
from tasks.resdavenet_vq.extraction import extract_all
from tasks.resdavenet_vq.layers import LayerError, load_speech
from tasks.speech_image.trained import ModelSource


@pytest.fixture
def sounds(places, tmp_path):
    """The four utterances as a folder of wavs, in a sub-folder as the original wants them."""
    folder = tmp_path / "wavs" / "test"
    folder.mkdir(parents=True)
    for row in range(len(places)):
        shutil.copy(places.record(row).audio_path, folder)
    return folder.parent


def node(folder, **how):
    return lambda train, on_error: SoundFolder(folder, on_error=on_error, **how)  # noqa: ARG005  as configs call it


def test_layout_values_and_summary(sounds, vq_run, context, tmp_path, capsys):
    output = tmp_path / "out" / "sub"
    dump(node(sounds), "quant2", output, context, ModelSource(run=vq_run))
    texts = sorted((output / "english" / "test").iterdir())
    assert [path.stem for path in texts] == sorted(path.stem for path in sounds.rglob("*.wav"))
    model, dataset = load_speech(ModelSource(run=vq_run), torch.device("cpu")), SoundFolder(sounds)
    counts = {}
    for path, one in zip(texts, extract_all(model, dataset, ["quant2"], whole_frames=True), strict=True):
        np.testing.assert_allclose(read_features(path), one.layers["quant2"].features, atol=5.1e-4)
        assert len(read_features(path)) == one.nframes // 2
        for line in path.read_text().splitlines():
            assert all(len(value.split(".")[1]) == 3 for value in line.split(" "))
            counts[line] = counts.get(line, 0) + 1
    shares = np.array(list(counts.values())) / sum(counts.values())
    summary = json.loads((output / "dump.json").read_text())["summary"]
    seconds = summary["sound_seconds"]
    assert seconds == pytest.approx(sum(dataset.lengths()) / 100, abs=0.0401)
    assert summary["bitrate"] == pytest.approx(sum(counts.values()) / seconds * -(shares * np.log2(shares)).sum(), 1e-4)
    assert summary["symbols"] == len(counts) <= 12
    with zipfile.ZipFile(tmp_path / "out" / "sub.zip") as archive:
        assert archive.namelist() == ["metadata.yaml", *(f"english/test/{path.name}" for path in texts)]
    assert f"{len(counts)} symbols" in capsys.readouterr().err


def test_cut_sounds_are_as_long_as_what_was_encoded(sounds, vq_run, context, tmp_path):
    dump(node(sounds, max_frames=50), "quant2", tmp_path / "out", context, ModelSource(run=vq_run))
    summary = json.loads((tmp_path / "out" / "dump.json").read_text())["summary"]
    lengths = SoundFolder(sounds).lengths().clip(max=50)
    assert summary["sound_seconds"] == pytest.approx(lengths.sum() / 100, abs=0.01 * len(lengths))
    assert summary["frames"] == (lengths // 2).sum()


def test_a_stopped_dump_goes_on(sounds, vq_run, context, tmp_path, monkeypatch):
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    dump(node(sounds), "conv3", whole, context, ModelSource(run=vq_run))
    written = []

    def write_two(path, features):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        module_write(path, features)

    module_write = module.write_features
    monkeypatch.setattr(module, "write_features", write_two)
    with pytest.raises(KeyboardInterrupt):
        dump(node(sounds), "conv3", halted, context, ModelSource(run=vq_run))
    assert not halted.with_name("halted.zip").exists()
    monkeypatch.setattr(module, "write_features", module_write)
    before = {path: path.stat().st_mtime_ns for path in written}
    dump(node(sounds), "conv3", halted, context, ModelSource(run=vq_run))
    assert before == {path: path.stat().st_mtime_ns for path in written}
    assert halted.with_name("halted.zip").read_bytes() == whole.with_name("whole.zip").read_bytes()
    packed = whole.with_name("whole.zip").read_bytes()
    dump(node(sounds), "conv3", whole, context, ModelSource(run=vq_run))
    assert whole.with_name("whole.zip").read_bytes() == packed


def test_other_features_are_refused(sounds, vq_run, context, tmp_path):
    output, source = tmp_path / "out", ModelSource(run=vq_run)
    dump(node(sounds), "quant2", output, context, source)
    with pytest.raises(
        UserError, match=r"out holds other features: layer is quant2 there, conv2 asked for; give another"
    ):
        dump(node(sounds), "conv2", output, context, source)
    with pytest.raises(UserError, match=r"max_frames is None there, 50 asked for"):
        dump(node(sounds, max_frames=50), "quant2", output, context, source)
    with pytest.raises(LayerError, match=r"found the layer 'quant4'; the layers of vq are"):
        dump(node(sounds), "quant4", output, context, source)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match=r"mine is not empty and holds no features \(thesis.txt, ...\); give an empty"):
        dump(node(sounds), "quant2", tmp_path / "mine", context, source)
    (output / "dump.json").write_text("{")
    with pytest.raises(UserError, match=r"dump.json is missing or cannot be read: delete .* and start again"):
        dump(node(sounds), "quant2", output, context, source)


def test_a_dry_run_writes_nothing(sounds, context, tmp_path, caplog):
    context.dry_run = True
    with caplog.at_level("INFO"):
        dump(node(sounds), "logmel", tmp_path / "out", context)
    assert "has frames and channels (" in caplog.text
    assert not (tmp_path / "out").exists()


def script(*arguments, **environment):
    command = [PROJECT_ROOT / "scripts" / "dump_zs19_abx.sh", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=300)


def test_the_script_in_the_manner_of_the_original(sounds, vq_run, tmp_path):
    """A dry run leaves alone what a stopped run has done."""
    begun = tmp_path / "new" / "out.zip.parts"
    begun.mkdir(parents=True)
    dry = script(vq_run, "quant3", tmp_path / "new" / "out.zip", "--dry-run", ZS19_WAVS=str(sounds))
    assert dry.returncode == 0, dry.stderr
    assert "evaluate.sh" not in dry.stdout
    assert begun.is_dir()
    done = script(vq_run, "quant3", tmp_path / "new" / "out.zip", ZS19_WAVS=str(sounds), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert "evaluate.sh" in done.stdout
    with zipfile.ZipFile(tmp_path / "new" / "out.zip") as archive:
        assert len(archive.namelist()) == 1 + len(list(sounds.rglob("*.wav")))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.zip"]
    begun.mkdir()  # of another call that stopped, beside the zip of an earlier one
    dry = script(vq_run, "quant3", tmp_path / "new" / "out.zip", "--dry-run", ZS19_WAVS=str(sounds))
    assert (dry.returncode, "evaluate.sh" in dry.stdout, begun.is_dir()) == (0, False, True)


def test_the_script_takes_an_exported_encoder(sounds, tmp_path):
    shipped = PROJECT_ROOT / "models" / "shipped" / "resdavenet_vq_world.json"
    done = script(shipped, "quant2", tmp_path / "out.zip", "--dry-run", ZS19_WAVS=str(sounds))
    assert done.returncode == 0, done.stderr
    assert "speech encoder from" in done.stderr or "frames and channels" in done.stderr


def test_the_script_refuses(tmp_path):
    assert "error: found 2 arguments, expected a model, a layer and a zip" in script("a", "b").stderr
    done = script(tmp_path / "none", "quant2", tmp_path / "out.zip")
    assert (done.returncode, "there is no" in done.stderr) == (2, True)
    (tmp_path / "RDVQ_01000" / "models").mkdir(parents=True)
    done = script(tmp_path / "RDVQ_01000", "quant2", tmp_path / "out.zip")
    assert "RDVQ_01000 holds neither models/best_audio_model.pth nor models/audio_model.eN.pth" in done.stderr
    assert "expected a name that ends in .zip" in script(tmp_path, "quant2", Path("out.tar")).stderr
