"""ABX errors of layers through run.py's part: an embedded world, item files, old Pythons, what is refused."""

import csv
import json
import re

import numpy as np
import pytest
import torch

from common.errors import UserError
from datasets.spoken_captions.readers import PlacesFiles, PlacesHDF5
from datasets.spoken_captions.records import Records
from datasets.spoken_captions.sound_folder import SoundFolder
from evaluation.abx.items import COLUMNS, AbxError, read_items
from evaluation.abx.score import Comparing
from evaluation.abx.zerospeech import write_features
from tasks.resdavenet_vq.abx import _rows_by_name, _texts, abx, score_folder
from tasks.resdavenet_vq.abx_items import write_items
from tasks.resdavenet_vq.extraction import extract_all
from tasks.resdavenet_vq.layers import LayerError, load_speech
from tasks.resdavenet_vq.utterances import encoded_seconds, sound_seconds, utterance_names
from tasks.speech_image.trained import ModelSource

LAYERS = ["logmel", "conv2", "quant2", "quant3"]


def captions(manifest, **how):
    return lambda train, on_error: PlacesFiles(manifest, image=None, train=train, on_error=on_error, **how)


def test_text_files_are_called_by_their_paths_and_where_that_is_clear_by_their_names(tmp_path):
    paths = [tmp_path / name for name in ("a.txt", "s1/b.txt", "s1/c.d.txt", "s2/b.txt")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert _texts(tmp_path) == dict(zip(["a", "s1/b", "s1/c.d", "s2/b"], paths, strict=True)) | {"c.d": paths[2]}


@pytest.mark.usefixtures("_library")
def test_layers_of_a_run_on_a_world(world, vq_run, context, monkeypatch):
    abx(captions(world), context, LAYERS, ModelSource(run=vq_run), run=context.settings)
    with (context.folder / "abx.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["distance"], row["speakers"]) for row in rows] == [
        (layer, distance, kind) for layer in LAYERS for distance in ("cosine", "kl") for kind in ("within", "across")
    ]
    metrics = json.loads((context.folder / "metrics.json").read_text())
    errors = {(row["layer"], row["distance"], row["speakers"]): float(row["error"]) for row in rows}
    assert all(0 <= error < 0.6 for error in errors.values())
    assert errors["logmel", "cosine", "within"] < 0.2
    for (layer, distance, kind), error in errors.items():
        assert metrics[f"abx/{layer}/{distance}_{kind}"] == pytest.approx(error, abs=1e-5)
    assert len({row["triplets"] for row in rows if row["speakers"] == "across"}) == 1, (
        "the same triplets for all layers"
    )
    assert [row["frame_seconds"] for row in rows[::4]] == ["0.01", "0.02", "0.02", "0.04"]
    rates = [float(row["bitrate"]) for row in rows[::4]]
    assert rates[1] > 200 > rates[2] > rates[3] > 1, "codes take few bits, features many"
    assert {path.name for path in context.folder.iterdir()} >= {"abx.txt", "abx.json", "abx_pairs.csv", "world.item"}
    assert not list(context.folder.glob("frames_*"))
    text = (context.folder / "abx.txt").read_text()
    assert (
        " ".join(text.splitlines()[0].split()) == "ABX error, % cosine within cosine across kl within kl across bit/s"
    )
    assert text.splitlines()[-1].split() == ["chance", "50.00", "50.00", "50.00", "50.00"]
    page = (context.folder / "report.html").read_text(encoding="utf-8")
    assert "ABX phone discrimination" in page
    assert f"{100 * errors['quant2', 'kl', 'across']:.2f} %" in page


@pytest.mark.usefixtures("_library")
def test_an_item_file_and_dumped_text_give_the_same(world, vq_run, context, tmp_path, caplog):
    write_items(world, tmp_path / "world.item")
    few = {"speakers": ["within"], "distances": ["cosine"], "comparing": Comparing(max_size_group=4)}
    abx(
        captions(world),
        context,
        ["quant2"],
        ModelSource(run=vq_run),
        tmp_path / "world.item",
        **few,
        run=context.settings,
    )
    first = json.loads((context.folder / "abx.json").read_text())
    assert len(read_items(tmp_path / "world.item").rows) > first[0]["items"] > 10
    dataset = captions(world)(train=False, on_error="error")
    names = utterance_names(dataset)
    model = load_speech(ModelSource(run=vq_run), torch.device("cpu"))
    for one in extract_all(model, dataset, ["quant2"], whole_frames=True):
        folder = tmp_path / "dumped" / ("one" if one.row % 2 else "two/below")
        write_features(folder / f"{names[one.row]}.txt", one.layers["quant2"].features)
    score_folder(tmp_path / "world.item", tmp_path / "dumped", 0.02, context, **few, run=context.settings)
    second = json.loads((context.folder / "abx.json").read_text())
    assert second[0]["error"] == pytest.approx(first[0]["error"], abs=0.01)  # three decimals
    assert second[0]["triplets"] == first[0]["triplets"]
    assert second[0]["bitrate"] == pytest.approx(first[0]["bitrate"], rel=0.02)  # a sound's last part of a frame
    assert "is frame_seconds right?" not in caplog.text
    score_folder(tmp_path / "world.item", tmp_path / "dumped", 0.04, context, **few, run=context.settings)
    assert re.search(r"items end after [45]\d % of their utterances .median. if a line is 0.04 s", caplog.text)
    with (tmp_path / "world.item").open("a") as file:
        file.write("nowhere 0.0 0.1 x y z nobody\n")
    with pytest.raises(AbxError, match=r"found the file 'nowhere', which .*dumped lacks .as it does 1 of 25 files"):
        score_folder(tmp_path / "world.item", tmp_path / "dumped", 0.02, context, **few, run=context.settings)
    write_items(world, tmp_path / "world.item")
    some = sorted((tmp_path / "dumped").rglob("*.txt"))
    write_features(some[0], np.ones((3, 8), np.float32))
    with pytest.raises(AbxError, match=r"line \d+: found an item from .* is only 0.08 s long"):
        score_folder(tmp_path / "world.item", tmp_path / "dumped", 0.02, context, **few, run=context.settings)
    some[1].unlink()
    with pytest.raises(AbxError, match=r"lacks .as it does 1 of 24 files that the items name"):
        score_folder(tmp_path / "world.item", tmp_path / "dumped", 0.02, context, **few, run=context.settings)
    with pytest.raises(AbxError, match=r"features: found .*out.zip, expected a folder of .txt files; unzip"):
        score_folder(tmp_path / "world.item", tmp_path / "out.zip", 0.02, context, **few, run=context.settings)


def test_the_item_file_of_a_world(world, tmp_path):
    write_items(world, tmp_path / "a.item")
    write_items(world, tmp_path / "b.item")
    assert (tmp_path / "a.item").read_bytes() == (tmp_path / "b.item").read_bytes()
    assert (tmp_path / "a.item").read_text(encoding="utf-8").split("\n")[0] == " ".join(COLUMNS)
    items = read_items(tmp_path / "a.item")
    dataset = captions(world)(train=False, on_error="error")
    heard = dict(zip(utterance_names(dataset), encoded_seconds(dataset), strict=True))
    items.check(heard, "the world")
    assert not {"sil"} & {name for row in items.rows for name in (row.phone, row.previous, row.following)}
    assert len({row.speaker for row in items.rows}) == 3
    write_items(world, tmp_path / "phones.item", span="phone")
    alone = read_items(tmp_path / "phones.item").rows
    assert [row[3:] for row in alone] == [row[3:] for row in items.rows]
    assert all(a.onset > b.onset and a.offset < b.offset for a, b in zip(alone, items.rows, strict=True))


@pytest.mark.usefixtures("_library")
def test_items_that_do_not_fit(world, vq_run, context, tmp_path, assets):
    source, item = ModelSource(run=vq_run), tmp_path / "bad.item"
    name = captions(world)(train=False, on_error="error").record(0).uttid
    for line, message in (
        (
            "nobody 0 1 a x y s",
            r"bad.item, line 2: found the file 'nobody', which .*test.json lacks \(as it does 1 of 1",
        ),
        (f"{name} 0 99 a x y s", rf"line 2: found an item from 0 to 99 s, but {name} is only \d+.\d\d s long"),
        (f"{name} 0 0.3 a x y s", r"bad.item gives no triplets within speakers \(1 items, 1 speakers\): expected two"),
    ):
        item.write_text(f"{' '.join(COLUMNS)}\n{line}\n")
        with pytest.raises(AbxError, match=message):
            abx(captions(world), context, ["quant2"], source, item, run=context.settings)
    with pytest.raises(AbxError, match=rf"but {name} is only 0.20 s long"):
        item.write_text(f"{' '.join(COLUMNS)}\n{name} 0 0.3 a x y s\n")
        abx(captions(world, max_frames=20), context, ["quant2"], source, item, run=context.settings)
    with pytest.raises(LayerError, match=r"found the layer 'quant9'; the layers of vq are logmel, conv1, .*, quant3$"):
        abx(captions(world), context, ["quant9"], source, item, run=context.settings)
    with pytest.raises(UserError, match=r"there is no .*phones.jsonl: phone times are known of embedded worlds alone"):
        abx(
            captions(assets / "formats" / "places" / "metadata.json"), context, ["quant2"], source, run=context.settings
        )


def test_old_pythons_are_reported_before_anything_is_loaded(context, monkeypatch):
    monkeypatch.setattr("evaluation.abx.score.PYTHON", (3, 11, 9))
    with pytest.raises(
        AbxError, match=r"needs Python 3.12 or newer, and this is 3.11.9: .*dump.yaml works with this one"
    ):
        abx(None, context, ["quant2"], ModelSource(run="nowhere"))
    with pytest.raises(AbxError, match=r"needs Python 3.12"):
        score_folder("nowhere", "nowhere", 0.02, context)


@pytest.mark.usefixtures("_library")
def test_a_dry_run_scores_nothing(world, vq_run, context, caplog):
    context.dry_run = True
    with caplog.at_level("INFO"):
        abx(captions(world), context, ["quant3"], ModelSource(run=vq_run), run=context.settings)
    assert "frames and channels {'quant3': (" in caplog.text
    assert not context.folder.exists()


def test_names_and_lengths(places, assets, tmp_path):
    assert utterance_names(places)[0] == places.record(0).audio_path.stem
    assert utterance_names(places, 2)[0].endswith(f"_{places.record(0).audio_path.stem}")
    hdf5 = PlacesHDF5(assets / "formats" / "places" / "metadata_hdf5.json", image=None, train=False)
    assert encoded_seconds(hdf5) == pytest.approx(encoded_seconds(places))
    assert sound_seconds(hdf5, [0], [71]) == [0.71]
    exact = sound_seconds(places, [0], [places.lengths()[0]])[0]
    assert exact == pytest.approx(encoded_seconds(places)[0], abs=0.0101)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.wav").write_bytes(places.record(0).audio_path.read_bytes())
    decomposed = tmp_path / "c" / "d" / "cafe\u0301.wav"
    decomposed.parent.mkdir(parents=True)
    decomposed.write_bytes(places.record(0).audio_path.read_bytes())
    assert utterance_names(SoundFolder(tmp_path / "c")) == ["caf\u00e9"]
    decomposed.unlink()
    twice = SoundFolder(tmp_path)
    with pytest.raises(UserError, match=r"rows 0 and 1 of .* are both called 'same' \(by 1 of the parts .* name_parts"):
        utterance_names(twice)
    assert utterance_names(twice, 2) == ["a_same", "b_same"]


def test_an_uttid_of_several_utterances_names_none(places, assets):
    """An item that names it would be measured on one of them, and nobody could tell on which."""
    fields = [list(places.records.fields(row)) for row in range(4)]
    fields[2][0] = fields[1][0]
    places.records = Records()
    for row in fields:
        places.records.add(tuple(row))
    rows = _rows_by_name(places, 1)
    assert fields[1][0] not in rows
    assert [rows[fields[row][0]] for row in (0, 3)] == [0, 3]
    assert [rows[name] for name in utterance_names(places)] == [0, 1, 2, 3]
    for row in fields:
        row[4] = None  # features alone, without sound files
    places.records = Records()
    for row in fields:
        places.records.add(tuple(row))
    with pytest.raises(UserError, match=r"rows 1 and 2 of .* \(by their uttid\); .* give each its own uttid$"):
        utterance_names(places)
