"""ResDAVEnet-VQ: quantisers that are switched on or off, published folders, other widths, a kill and going on."""

import json
import re

import pytest
import torch
from torchvision.models import resnet50

from common.errors import UserError
from engine import checkpoint
from engine.init_from import InitFrom, start_from
from engine.run_folder import RunFolder
from engine.settings import CheckpointSettings, TrainerSettings
from models.resdavenet_vq import ResDavenetVq
from models.vector_quantizer import VectorQuantizer
from tests.published.reference import resdavenet_folder
from tests.tasks.speech_image.test_task import build
from tests.test_main import call, killed
from tests.test_run import leaves, many_pairs
from trainer import Trainer

SAVED, KILLED_IN = 6, 8  # steps, counted from 1
SIZES = "codes: 64, layer_widths: [6, 8, 8, 12, 16], layer_depths: [1, 1, 1, 1], kernel: 3"
RESNET = "task.image_encoder={type: models.image_encoders.Resnet50Encoder, embedding_dim: 20}"
PUBLISHED_SIZES = "layer_widths: [6, 8, 8, 12, 20], layer_depths: [1, 2, 1, 3], kernel: 5"


def encoder(code, sizes=SIZES, more=""):
    return f"task.speech_encoder={{type: models.resdavenet_vq.ResDavenetVq, turn_on: {code}, {sizes}{more}}}"


def task_of(code, *overrides, sizes=SIZES, more=""):
    return build(encoder(code, sizes, more), *overrides)[0]


def saved(task, path):
    modules = {name: module.state_dict() for name, module in task.modules.items()}
    checkpoint.write(path, {"step": 7, "modules": modules, "averages": {}})
    return InitFrom(path)


def test_quantisers_that_are_switched_on_begin_as_published(tmp_path, caplog):
    caplog.set_level("INFO")
    plain = task_of("00000")
    torch.nn.init.normal_(plain.modules["speech"].stages[1][0].conv1.weight)
    seeded = task_of("01100", more=", codebook: {init_std: 3.0, init_ema_mass: 2.0}")
    start_from(saved(plain, tmp_path / "c.pt"), seeded)
    speech = seeded.modules["speech"]
    for name, value in plain.modules["speech"].state_dict().items():
        assert torch.equal(speech.state_dict()[name], value)
    for quantizer in speech.quantizers.values():
        assert abs(float(quantizer.codebook.std()) - 3) < 0.5
        assert torch.equal(quantizer.sums, 2 * quantizer.codebook)
        assert bool((quantizer.counts == 2).all())
    assert "speech: not in " in caplog.text
    assert "and so begun anew: quantizers.quant2, quantizers.quant3" in caplog.text


def test_the_curriculum_keeps_codebooks_and_k_means_places_only_the_new(tmp_path):
    first = task_of("01100")
    options = ", codebook: {kmeans_rounds: 2, restart_below: 0.1}"
    second = task_of("01110", "data.batch_size=4", "task.optimization.schedule=null", more=options)
    start_from(saved(first, tmp_path / "c.pt"), second)
    old, new = first.modules["speech"].quantizers, second.modules["speech"].quantizers
    assert torch.equal(new["quant2"].codebook, old["quant2"].codebook)
    assert {name: bool(made.placed) for name, made in new.items()} == {"quant2": True, "quant3": True, "quant4": False}
    assert new["quant4"].config.restart_below == 0.1
    second.modules["speech"].train()
    batch = next(iter(second.batches(0, 0)))
    _, maps = second.encode(batch, second.data.train_loader.dataset)
    assert bool(new["quant4"].placed)
    assert float(maps.notes["perplexity/quant4"]) > 10  # of 64 codes, placed where the frames are


def test_quantisers_that_are_switched_off_are_listed(tmp_path, caplog):
    caplog.set_level("INFO")
    start_from(saved(task_of("01110"), tmp_path / "c.pt"), task_of("00100"))
    assert "and not in this model: quantizers.quant2, quantizers.quant4" in caplog.text
    assert "begun anew" not in caplog.text


def test_codebooks_of_another_size_and_other_widths_are_errors(tmp_path, caplog):
    start = saved(task_of("01000"), tmp_path / "c.pt")
    smaller = task_of("01100", sizes=SIZES.replace("64", "32"))
    with pytest.raises(
        UserError, match=r"speech\.quantizers\.quant2\.codebook: shape \(64, 8\) in the checkpoint, \(32, 8"
    ):
        start_from(start, smaller)
    wider = task_of("01000", sizes=SIZES.replace("6, 8, 8", "6, 10, 8"))
    with pytest.raises(UserError, match=r"c\.pt does not fit this model \(\d+ entries\)(?s:.*)allow_partial: true"):
        start_from(start, wider)
    start_from(InitFrom(start.path, allow_partial=True), wider)
    (message,) = [record.getMessage() for record in caplog.records if "entries are not loaded" in record.getMessage()]
    skipped = re.findall(r"^  speech\.([\w.]+): shape", message, re.MULTILINE)
    assert {"stages.1.0.conv1.weight", "stages.2.0.conv1.weight", "quantizers.quant2.codebook"} <= set(skipped)
    assert not any(name.startswith(("stages.0", "stages.3")) for name in skipped)


def test_an_evaluation_lacks_no_quantiser(tmp_path):
    start = saved(task_of("00000"), tmp_path / "c.pt")
    with pytest.raises(UserError, match=r"speech\.quantizers\.quant2: missing in the checkpoint\s+set encoders: as_tr"):
        start_from(start, task_of("01000"), training=False)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A published experiment {2} with random weights, its best model and its third epoch."""
    folder = tmp_path_factory.mktemp("RDVQ_01000")
    torch.manual_seed(0)
    names = resnet50(weights=None).state_dict()
    image = {name: value for name, value in names.items() if not name.startswith("fc.")}
    image |= {"embedder.weight": torch.randn(20, 2048, 1, 1) / 45, "embedder.bias": torch.zeros(20)}
    codes = torch.randn(9, 8)
    averages = {"_embedding.weight": codes, "_ema_w": codes, "_ema_cluster_size": torch.ones(9)}
    quantizer = {f"quant2.{name}": value for name, value in averages.items()}
    settings = {"VQ_turnon": "0,1,0,0,0", "VQ_sizes": "9,9,9,9,9"}
    best = resdavenet_folder(folder, image, speech=quantizer, **settings)
    third = resdavenet_folder(folder, image, stem="{}_model.e3", speech=quantizer, **settings)
    return folder, best, third


def test_a_training_begins_with_a_published_experiment(experiment, caplog):
    caplog.set_level("INFO")
    folder, best, third = experiment
    task = task_of("01100", RESNET, sizes=f"codes: 9, {PUBLISHED_SIZES}")
    speech = task.modules["speech"]
    start_from(InitFrom(folder), task)
    assert torch.equal(speech.stages[0][0].weight, best["conv1.weight"].squeeze(1))
    assert torch.equal(speech.quantizers["quant2"].codebook, best["quant2._embedding.weight"])
    assert "begun anew: quantizers.quant3" in caplog.text
    start_from(InitFrom(folder / "models" / "audio_model.e3.pth"), task)
    assert torch.equal(speech.stages[0][0].weight, third["conv1.weight"].squeeze(1))
    with pytest.raises(
        UserError, match=r"speech\.stages\.1\.0\.conv1\.weight: shape \(8, 6, 5\) in the checkpoint, \(8, 6"
    ):
        start_from(InitFrom(folder, modules=["speech"]), task_of("01000"))


def test_retrieval_with_a_published_experiment_and_with_a_run(experiment, tmp_path):
    """Networks come from the weights' own folder: the config's are other ones."""
    folder, _, _ = experiment
    pairs = "{type: datasets.spoken_captions.PlacesFiles, manifest: tests/assets/formats/places/metadata.json,"
    pairs += " max_frames: 256, image: {size: 32, resize: 32, random_crop: false}}"
    words = ["entry=main.evaluate", "encoders=as_trained", "task.similarity={kind: pooled}", "run.name=found"]
    words += [f"data={{type: datasets.spoken_captions.HeldOut, pairs: {pairs}, batch_size: 3, target_length: 256}}"]
    with pytest.raises(UserError, match=r"data\.pairs\.max_frames .*found 256, expected at most target_length, 99"):
        call(tmp_path, *words, f"init_from.path={folder}", "data.target_length=99")
    call(tmp_path, *words, f"init_from.path={folder}")
    metrics = json.loads((tmp_path / "found" / "metrics.json").read_text())
    for k in (1, 5, 10):
        assert metrics[f"recall@{k}"] == pytest.approx((metrics[f"A_r{k}"] + metrics[f"I_r{k}"]) / 2)
    assert metrics["n"] == 4
    text = (tmp_path / "found" / "config.yaml").read_text()
    assert "turn_on: '01000'" in text
    assert "Resnet50Encoder" in text

    task = task_of("01000")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    saved(task, tmp_path / "run" / "checkpoints" / "best.pt")
    values = build(encoder("01000"))[1]
    (tmp_path / "run" / "config.yaml").write_text(json.dumps(values))
    call(tmp_path, *words, f"init_from.path={tmp_path}/run", "run.resume=overwrite")
    assert json.loads((tmp_path / "found" / "metrics.json").read_text())["n"] == 4
    assert "kind: MISA" in (tmp_path / "found" / "config.yaml").read_text()  # as that run compared maps


def test_half_an_experiment_is_reported_before_anything_is_built(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "best_audio_model.pth").write_bytes(b"x")
    words = ["entry=main.evaluate", "encoders=as_trained", f"init_from.path={tmp_path}"]
    with pytest.raises(UserError, match=r"There is no file .*args\.pkl"):
        call(tmp_path, *words)
    with pytest.raises(UserError, match="holds no checkpoint"):
        call(tmp_path, "entry=main.evaluate", f"init_from.path={tmp_path}/models")


def quantised_training(folder, pairs):
    """A trainer of 3 epochs of 4 steps, saved every 3 steps: frames jitter, codes are placed and start anew."""
    options = ", jitter: 0.3, codebook: {decay: 0.9, kmeans_rounds: 2, restart_below: 0.9}"
    task, _ = build(encoder("01100", SIZES, options), pairs)
    folder = RunFolder(folder)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    settings = TrainerSettings(epochs=3, evaluate_every_epochs=3, checkpoint=CheckpointSettings(every_steps=3))
    return Trainer(task, settings, 0, torch.device("cpu"), folder)


def test_a_killed_training_that_goes_on_is_the_uninterrupted_one(tmp_path, monkeypatch):
    put, forward = VectorQuantizer._put, ResDavenetVq.forward
    started, steps, kill_in = [], 0, None

    def spy(self, codes, places):
        started.append((steps, "placed" if len(codes) == len(self.codebook) else "anew"))
        put(self, codes, places)

    def counted(self, *given):
        nonlocal steps
        steps += self.training
        return killed() if steps == kill_in else forward(self, *given)

    monkeypatch.setattr(VectorQuantizer, "_put", spy)
    monkeypatch.setattr(ResDavenetVq, "forward", counted)
    pairs = many_pairs(tmp_path / "pairs.json", 2)
    whole = quantised_training(tmp_path / "whole", pairs)
    whole.fit()
    assert [step for step, what in started if what == "placed"] == [1, 1]
    assert {step > SAVED for step, what in started if what == "anew"} == {False, True}
    steps, kill_in = 0, KILLED_IN
    with pytest.raises(KeyboardInterrupt):
        quantised_training(tmp_path / "killed", pairs).fit()
    started, steps, kill_in = [], SAVED, None
    parts = quantised_training(tmp_path / "killed", pairs)
    torch.manual_seed(99)  # whatever the new process drew before
    assert parts.saver.resume()
    assert (parts.at.step, parts.at.epoch, parts.at.batch) == (SAVED, 1, 2)
    parts.fit()
    assert {what for _, what in started} == {"anew"}
    expected, found = (dict(leaves(loop.saver.state.collect())) for loop in (whole, parts))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        same = torch.equal(value, found[name]) if isinstance(value, torch.Tensor) else value == found[name]
        assert same or name == ".seconds", name
    for name in ("codebook", "sums", "counts", "placed"):
        assert f".modules.speech.quantizers.quant2.{name}" in expected
