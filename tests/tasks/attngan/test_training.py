"""The matching model and the generator are trained through run.py, go on exactly, and are read back."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import config
from common.errors import UserError
from engine import checkpoint
from engine.run_folder import RunFolder
from run import main
from tasks.attngan.trained import GENERATOR, IMAGE, TEXT, TextImageSource, TrainedError, load
from tests.tasks.attngan.commands import refused, run


def test_a_matching_model_learns_to_find_images(trained_damsm):
    metrics = json.loads((trained_damsm / "metrics.json").read_text())
    assert metrics["recall@1"] > 0.8  # 16 images, chance 1 / 16
    assert metrics["chance_recall@1"] == pytest.approx(1 / 16)
    curves = RunFolder(trained_damsm).curves()
    assert curves["train/loss"][-1][1] < 0.6 * curves["train/loss"][0][1]
    assert metrics["loss"] == pytest.approx(metrics["words"] + metrics["sentences"], rel=1e-4)  # rounded in the file
    page = (trained_damsm / "report.html").read_text()
    assert "the left is" in page
    assert "best recall@10 of the validation split" in page


def test_a_matching_model_is_read_back(trained_damsm):
    found = load(TextImageSource(run=trained_damsm))
    assert found.words.max_words == 6
    tokens = found.words.tokens(["The LEFT is purple, blue!", "top"])
    assert found.words.read(tokens.numbers[0]) == ["the", "left", "is", "blue"]
    assert tokens.lengths.tolist() == [4, 1]
    assert tokens.unknown == [["purple"], []]
    text = found.networks[TEXT](tokens.numbers, tokens.lengths)
    assert text.sentences.shape == (2, 32)
    assert not any(network.training for network in found.networks.values())


def test_sentences_by_weighed_counts_silence_words(damsm, tmp_path):
    damsm["task"]["text_encoder"] = {
        "type": "models.tfidf_captions.TfidfCaptionEncoder",
        "embedding_dim": 32,
        "word_dim": 16,
        "reduced_dim": 16,
    }
    damsm["task"]["group_lasso"] = 0.01
    folder = run(damsm, tmp_path, "tfidf", "trainer.epochs=1")
    rows = (folder / "words.csv").read_text().splitlines()
    assert rows[0] == "word,share_of_largest_norm,silenced"
    assert {row.split(",")[0] for row in rows[1:]} >= {"red", "left", "side"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["kept_words"] + metrics["silenced_words"] == len(rows) - 1
    assert "train/group_lasso" in RunFolder(folder).curves()
    found = load(TextImageSource(run=folder), (TEXT,)).networks[TEXT]
    assert found.idf.any()  # what was fitted is in the checkpoint


def test_a_penalty_needs_a_layer_over_words(damsm, tmp_path, capsys):
    damsm["task"]["group_lasso"] = 0.01
    assert "CaptionEncoder has no reducing layer over words" in refused(damsm, tmp_path, capsys)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_broken_image_that_is_evaluated_is_found_before_the_training(damsm, pictures, tmp_path, capsys, split):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    path = folder / f"{split}_11.png"
    path.write_bytes(path.read_bytes()[:60])
    for node in ("train", "validation", "test"):
        damsm["data"][node]["folder"] = str(folder)
    message = refused(damsm, tmp_path, capsys)
    assert f"row 11 ({split}_11.png) of the {split} split" in message
    assert "data.on_error=skip" in message
    assert not list(tmp_path.rglob("*.pt"))


def test_a_generator_is_trained_and_read_back(with_damsm, runs, trained_damsm):
    folder = run(with_damsm, runs, "attngan")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["images"] == 16
    assert math.isfinite(metrics["frechet_distance"])
    curves = RunFolder(folder).curves()
    expected = {"pairs_16", "pairs_32", "mismatched_16", "words", "sentences", "divergence", "generator_16"}
    assert {f"train/{name}" for name in expected} <= curves.keys()
    (sheet,) = sorted((folder / "samples").glob("*.png"))[-1:]
    assert np.asarray(Image.open(sheet)).shape == (64, 8 * 32, 3)
    assert "generated" in (folder / "report.html").read_text()
    found = load(TextImageSource(run=folder), (TEXT, GENERATOR))
    damsm = load(TextImageSource(run=trained_damsm), (TEXT,))
    own, theirs = found.networks[TEXT].state_dict(), damsm.networks[TEXT].state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)  # frozen
    state = checkpoint.read(folder / "checkpoints" / "best.pt")
    live = state["modules"][GENERATOR]["images.1.0.weight"]
    assert not torch.equal(found.networks[GENERATOR].images[1][0].weight, live)  # the averaged weights are read
    tokens = found.words.tokens(["the left is red"])
    text = found.networks[TEXT](tokens.numbers, tokens.lengths)
    made = found.networks[GENERATOR](torch.zeros(1, 8), text.sentences, text.words, text.padding, torch.zeros(1, 8))
    assert [image.shape[-1] for image in made.images] == [16, 32]
    with pytest.raises(TrainedError, match="discriminator_32, expected image too"):
        load(TextImageSource(run=folder), (TEXT, IMAGE))


def test_a_training_goes_on_exactly(with_damsm, tmp_path):
    with_damsm["trainer"]["checkpoint"] = {"every_steps": 3}
    whole = run(with_damsm, tmp_path, "whole", "trainer.max_steps=6")
    begun = run(with_damsm, tmp_path, "begun", "trainer.max_steps=3")
    run(with_damsm, tmp_path, "begun", "trainer.max_steps=6")
    states = [checkpoint.read(folder / "checkpoints" / "last.pt") for folder in (whole, begun)]
    for part in ("modules", "averages"):
        for name, weights in states[0][part].items():
            for key, value in weights.items():
                assert torch.equal(value, states[1][part][name][key]), (part, name, key)


@pytest.mark.parametrize("objective", ["MatchingAware", "Published"])
def test_a_rival_of_one_stage_is_the_same_task(with_damsm, objective, tmp_path):
    task = with_damsm["task"]
    task["objective"] = {"type": f"gan.attngan.objectives.{objective}"}
    task["generator"] = {
        "type": "gan.attngan.one_stage.OneStageGenerator",
        "resolution": 32,
        "width": 4,
        "noise_dim": 8,
    }
    task["discriminators"] = task["discriminators"][1:]
    task["matching"] = {"words": 0.0, "sentences": 0.0}
    folder = run(with_damsm, tmp_path, "rival", "trainer.max_steps=2")
    names = RunFolder(folder).curves().keys()
    assert "train/words" not in names
    assert "train/divergence" not in names
    assert "train/generator_32" in names


def test_parts_that_do_not_fit_are_refused(with_damsm, tmp_path, capsys):
    task = with_damsm["task"]
    message = refused(with_damsm, tmp_path, capsys, "task.generator.stages=1")
    assert "task.discriminators are for images of [16, 32] pixels, the generator makes [16]" in message
    message = refused(with_damsm, tmp_path, capsys, "data.train.resolutions=[32]")
    assert "data.train has images of [32] pixels, the generator makes [16, 32]" in message
    message = refused(with_damsm, tmp_path, capsys, "data.batch_size=1")
    assert "found 1, expected at least 2: a pair needs another pair's sentence" in message
    message = refused(with_damsm, tmp_path, capsys, "trainer.ema.modules=[discriminator_64]")
    assert "expected a module of the task, generator or text or discriminator_16 or discriminator_32" in message
    task["damsm"] = {"run": str(tmp_path)}
    assert "there is no trained model of text and images" in refused(with_damsm, tmp_path, capsys)
    task["damsm"] = {}
    assert "found none of run and published; expected exactly one" in refused(with_damsm, tmp_path, capsys)


def test_a_matching_model_of_other_words_is_refused(with_damsm, pictures, tmp_path, capsys):
    rows = json.loads((pictures / "train.json").read_text())
    for split in ("train", "validation", "test"):
        own = [{**row, "image": str(pictures / row["image"])} for row in rows[:16]]
        for row in own:
            Image.open(row["image"]).save(tmp_path / row["image"].rsplit("/", 1)[1])
            row["image"] = row["image"].rsplit("/", 1)[1]
            row["captions"] = ["something else", "something new"]
        (tmp_path / f"{split}.json").write_text(json.dumps(own))
        with_damsm["data"][split]["folder"] = str(tmp_path)
    message = refused(with_damsm, tmp_path, capsys)
    assert "words with the padding, the data have 4; the first that differ are" in message


def test_a_description_from_elsewhere_builds_networks_only(trained_damsm, tmp_path):
    description = json.loads((trained_damsm / "model.json").read_text())
    description["networks"]["text"] = {"type": "evaluation.report.parts.page.write_page", "path": "x", "page": "y"}
    (tmp_path / "x.json").write_text(json.dumps(description))
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(UserError):
        load(TextImageSource(run=tmp_path / "x.json"), (TEXT,))
    assert not (tmp_path / "x").exists()
    (tmp_path / "y.json").write_text(json.dumps({"networks": [], "max_words": 3, "vocabulary": []}))
    with pytest.raises(TrainedError, match="describes no model of text and images"):
        load(TextImageSource(run=tmp_path / "y.json"), (TEXT,))


def test_both_trainings_are_exported_as_one_file(with_damsm, runs, trained_damsm, tmp_path):
    generator = runs / "attngan" if (runs / "attngan").exists() else run(with_damsm, runs, "attngan")
    (tmp_path / "metrics.json").write_text('{"fid": 3.5}')
    values = {
        "entry": "tasks.attngan.export.export",
        "description": "x",
        "output": str(tmp_path / "out" / "model.json"),
        "damsm": str(trained_damsm),
        "generator": str(generator),
        "scores": str(tmp_path / "metrics.json"),
    }
    path = tmp_path / "export.yaml"
    path.write_text(config.dump(values))
    assert main(["-f", str(path)]) == 0
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert card["trainings"]["generator"]["images_seen"] == 8 * 16
    assert card["scores"] == {"fid": 3.5}
    found = load(TextImageSource(run=tmp_path / "out" / "model.json"), (TEXT, IMAGE, GENERATOR))
    own = load(TextImageSource(run=generator), (TEXT, GENERATOR))
    for name in (TEXT, GENERATOR):
        theirs = found.networks[name].state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in own.networks[name].state_dict().items())
    assert found.networks[IMAGE].embedding_dim == 32


def test_a_training_starts_from_an_export_and_its_card_says_so(with_damsm, runs, trained_damsm, tmp_path):
    generator = runs / "attngan" if (runs / "attngan").exists() else run(with_damsm, runs, "attngan")
    export = {"entry": "tasks.attngan.export.export", "description": "x", "damsm": str(trained_damsm)}
    (tmp_path / "export.yaml").write_text(
        config.dump(export | {"output": str(tmp_path / "first.json"), "generator": str(generator)})
    )
    assert main(["-f", str(tmp_path / "export.yaml")]) == 0
    for name in ("generator_optimizer", "discriminator_optimizer"):
        with_damsm["task"][name]["lr"] = 0.0
    with_damsm["init_from"] = {"path": str(tmp_path / "first.json")}
    again = run(with_damsm, tmp_path, "again", "trainer.max_steps=1")
    names = ("generator", "discriminator_16", "discriminator_32")
    first = load(TextImageSource(run=tmp_path / "first.json"), names)
    state = checkpoint.read(again / "checkpoints" / "last.pt")["modules"]
    for name in names:
        for key, value in first.networks[name].named_parameters():
            assert torch.equal(value, state[name][key]), (name, key)
    words = [f"damsm={tmp_path / 'first.json'}", f"generator={again}", f"output={tmp_path / 'second.json'}"]
    assert main(["-f", str(tmp_path / "export.yaml"), *words]) == 0
    trainings = json.loads((tmp_path / "second.json").read_text())["trainings"]
    assert trainings["generator"]["images_seen"] == 16
    assert trainings["generator"]["began_from"]["images_seen"] == 8 * 16
    assert (
        trainings["matching model"] == json.loads((tmp_path / "first.json").read_text())["trainings"]["matching model"]
    )
