"""The speech-image task: text instead of speech, features on the device, impossible combinations, losses that fall."""

import json
import re
import shutil

import pytest
import torch

import config
import losses
import run
from common.errors import UserError
from config import Factory
from datasets.loading.rows import SampleError
from datasets.loading.skipped import read_skipped
from engine.context import Context
from engine.optimization import Length
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from losses import draw_impostors, leave_out_same_image
from models.similarity import Similarity
from tasks.speech_image.encode_split import encode_all
from tests.conftest import ASSETS
from tests.steps import FakeStep
from trainer import Trainer

TINY = ASSETS / "configs" / "tiny.yaml"
IMAGE = "max_frames: 256, image: {size: 32, resize: 32, random_crop: false}"


def build(*overrides, folder=None):
    values = config.check(config.load(TINY, list(overrides)))

    def factory(name):
        node = dict(values[name])
        return Factory(config.resolve_type(node.pop("type")), node, name)

    torch.manual_seed(0)
    data = factory("data")(seed=0, rank=0, world_size=1, pin_memory=False)
    return factory("task")(data=data, device=torch.device("cpu"), seed=0, length=Length(40), folder=folder), values


def fit(task, epochs):
    loop = Trainer(task, TrainerSettings(epochs=epochs), 0, torch.device("cpu"), None)
    values = []
    for epoch in range(epochs):
        values += [float(loop.train_step(batch)["loss"]) for batch in task.batches(epoch, 0)]
    return values


def test_the_loss_falls():
    task, _ = build("data.batch_size=4", "task.optimization.schedule=null", "data.train.image.random_crop=false")
    assert tuple(task.modules) == task.module_names  # the config check knows them before they are built
    values = fit(task, 30)
    assert sum(values[-5:]) < 0.2 * sum(values[:5]), values


def test_the_first_epochs_may_compare_otherwise(caplog):
    caplog.set_level("INFO")
    task, _ = build(
        "data.batch_size=4", "task.objective.start={epochs: 2, similarity: {kind: SISA}}", "task.similarity.kind=SIMA"
    )
    batch = next(iter(task.batches(0, 0)))
    image, speech = task.encode(batch, task.data.train_loader.dataset)
    for epoch, kind in ((0, "SISA"), (1, "SISA"), (2, "SIMA")):
        scores = Similarity(kind=kind).of_all_ranks(image, speech)
        found = task.objective(image, speech, batch, FakeStep(3, epoch=epoch)).parts
        drawn = FakeStep(3)
        for direction, matrix in (("image_to_speech", scores), ("speech_to_image", scores.T)):
            expected = losses.sampled_triplet(matrix, draw_impostors(4, drawn.generator))
            torch.testing.assert_close(found[f"sampled_triplet_{direction}"], expected)
        assert ("from here on losses compare by SIMA" in caplog.text) == (epoch == 2)
    assert task.similarity.kind == "SIMA"  # of evaluation, in every epoch
    assert task.objective.changes(7) == {14: "SISA → SIMA"}


def test_the_report_marks_where_the_losses_change(tmp_path):
    folder = RunFolder(tmp_path / "run")
    start = "task.objective.start={epochs: 2, similarity: {kind: SISA}}"
    for name, override in (("marked", start), ("plain", "task.objective.start=null")):
        task, values = build("data.batch_size=4", override, folder=folder)  # a step an epoch
        folder.prepare(values, "overwrite", ["run.py"])
        for step in range(1, 6):
            folder.append({"step": step, "epoch": step - 1, "train/loss": 6.0 - step, "validation/recall@10": 0.5})
        task.report(folder, Context("tiny", values, ["run.py"]))
        page = (folder.path / "report.html").read_text(encoding="utf-8")
        assert (page.count('class="mark"'), page.count("SISA → MISA")) == ((1, 1) if name == "marked" else (0, 0))


def test_text_instead_of_speech():
    text = "task.text_encoder={type: models.text_encoders.DavenetText, embedding_dim: 16}"
    task, _ = build("task.speech_encoder=null", text, "data.batch_size=4", "task.optimization.schedule=null")
    values = fit(task, 20)
    assert values[-1] < values[0]
    assert task.evaluate()["n"] == 4


def test_features_on_the_device_are_those_of_the_workers():
    here, _ = build()
    there, _ = build("data.train.features=device", "data.validation.features=device")
    batches = [next(iter(task.data.loaders["validation"].batches(0))) for task in (here, there)]
    a, b = here.captions.mel(batches[0], train=False), there.captions.mel(batches[1], train=False)
    assert "mel" in batches[0]
    assert "mel" not in batches[1]
    assert torch.equal(a[1], b[1])
    for row, frames in enumerate(a[1].tolist()):
        torch.testing.assert_close(a[0][row, :, :frames], b[0][row, :, :frames], rtol=1e-4, atol=2e-3)
        assert a[0][row, :, :frames].std() > 1


@pytest.mark.parametrize("features", ["worker", "device"])
def test_evaluation_has_a_length_of_its_own(features):
    """Training captions are cut and padded to 100 frames, those of validation to 300."""
    lengths = ["data.train.max_frames=100", "data.target_length=100", "data.validation.max_frames=300"]
    splits = [f"data.{split}.features={features}" for split in ("train", "validation")]
    task, _ = build(*lengths, *splits, "data.evaluation_target_length=300")
    loaders = {True: task.data.train_loader, False: task.data.loaders["validation"]}
    shapes = {
        train: task.captions.mel(next(iter(loader.batches(0))), train)[0].shape for train, loader in loaders.items()
    }
    assert [shapes[True][2], shapes[False][2]] == [100, 300]
    _, frames = task.captions.mel(next(iter(loaders[False].batches(0))), train=False)
    assert frames.max() > 100
    with pytest.raises(UserError, match=r"validation\.max_frames .*found 300, expected at most target_length, 100"):
        build(*lengths)
    with pytest.raises(UserError, match=r"found 300, expected at most evaluation_target_length, 200"):
        build(*lengths, "data.evaluation_target_length=200")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.speech_encoder.embedding_dim=8"], "found maps of 8 channels, expected"),
        (["task.speech_encoder=null"], "found none of speech_encoder and text_encoder, expected exactly one"),
    ],
)
def test_impossible_combinations(overrides, message):
    with pytest.raises(UserError, match=message):
        build(*overrides)


def test_the_report_holds_both_directions_and_skipped_rows(tmp_path):
    task, values = build("data.on_error=skip")
    task.data.train_loader.dataset.skipped[2] = "row 2: broken"
    folder = RunFolder(tmp_path)
    folder.prepare(values, "auto", ["run.py"])
    metrics = task.report(folder, Context("tiny", values, ["run.py"]))
    assert (metrics["n"], metrics["left_out_train"], metrics["samples_train"]) == (4, 1, 4)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "a small red house near a lake" in page
    rows = (tmp_path / "queries.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * 4
    assert "train,2,row 2: broken" in (tmp_path / "skipped.csv").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "retrieval.json").read_text())["n"] == 4


def test_the_report_has_the_name_of_the_run_and_tells_the_config(tmp_path):
    task, values = build()
    for name, title in (("q2", "q2"), (None, "pairs/tiny")):
        folder = RunFolder(tmp_path / title)
        folder.prepare(values, "auto", ["run.py"])
        task.report(folder, Context("pairs/tiny", values | {"run": {"name": name}}, ["run.py"]))
        page = (folder.path / "report.html").read_text(encoding="utf-8")
        assert f"<h1>{title}: retrieval among 4 validation pairs</h1>" in page
        assert "<dt>config</dt><dd>pairs/tiny</dd>" in page


def test_losses_of_the_speech_encoder_are_trained_on_and_its_notes_reported():
    encoder = "{type: models.resdavenet_vq.ResDavenetVq, turn_on: '01000', codes: 5, layer_widths: [4, 6, 6, 8, 16],"
    task, _ = build(f"task.speech_encoder={encoder} layer_depths: [1, 1, 1, 1], jitter: 0.0}}")
    before = task.modules["speech"].quantizers["quant2"].codebook.clone()
    loop = Trainer(task, TrainerSettings(epochs=1), 0, torch.device("cpu"), None)
    values = loop.train_step(next(iter(task.batches(0, 0))))
    message = ("loss", "perplexity", "gradient_norm")
    parts = {name: float(v) for name, v in values.items() if name.partition("/")[0] not in message}
    assert parts["commitment/quant2"] > 0
    assert float(values["loss"]) == pytest.approx(sum(parts.values()), rel=1e-5)
    assert 1 <= float(values["perplexity/quant2"]) <= 5
    assert not torch.equal(task.modules["speech"].quantizers["quant2"].codebook, before)


def test_other_captions_of_the_same_image_are_no_impostors():
    scores = torch.tensor([[1.0, 5.0, 0.5], [5.0, 1.0, 0.2], [0.1, 0.3, 1.0]], requires_grad=True)
    masked = leave_out_same_image(scores, torch.tensor([7, 7, 8]))
    assert losses.margin_triplet(masked, margin=0.4).item() == pytest.approx(0)
    assert losses.margin_triplet(scores, margin=0.4).item() > 1
    plain, _ = build("data.batch_size=4")
    other, _ = build("data.batch_size=4", "task.same_image=left_out")
    assert fit(plain, 1) == fit(other, 1)  # four images with one caption each


@pytest.fixture
def broken(tmp_path):
    """A manifest of the four pairs whose rows 0 and 2 cannot be decoded."""
    source = ASSETS / "formats" / "places"
    folder = tmp_path / "places"
    shutil.copytree(source, folder)
    content = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    for row in (0, 2):
        (folder / content["audio_base_path"] / content["data"][row]["wav"]).write_bytes(b"no sound")
    return folder / "metadata.json"


def test_examples_are_those_that_load(broken):
    override = f"data.validation.manifest={broken}"
    task, _ = build(override, "data.on_error=skip")
    assert [example.text for example in task.examples()] == [
        task.data.loaders["validation"].dataset.record(row).text for row in (1, 3)
    ]
    assert sorted(task.data.loaders["validation"].skipped) == [0, 2]
    task, _ = build(override)
    with pytest.raises(SampleError, match=rf"row 0 \(.* of the validation split, {broken}: .*\.wav: cannot be decoded"):
        task.examples()


def test_a_damaged_sound_is_reported_with_file_row_manifest_and_split(broken):
    for split in ("train", "test"):
        node = f"{{type: datasets.spoken_captions.PlacesFiles, manifest: {broken}, {IMAGE}}}"
        task, _ = build(f"data.{split}={node}")
        loader = {"train": task.data.train_loader, **task.data.loaders}[split]
        place = rf"row [02] \(.*\) of the {split} split, {broken}: /.*\.wav: cannot be decoded"
        with pytest.raises(SampleError, match=place):
            list(loader.batches(0))


def test_a_training_set_smaller_than_a_batch_is_one_step_of_what_there_is(caplog, tmp_path):
    task, _ = build("data.batch_size=64", folder=RunFolder(tmp_path))
    assert (task.batch_size, task.steps_per_epoch) == (4, 1)  # what the log says, and what samples/s counts
    assert "metadata.json lists 4 pairs to train on, expected at least data.batch_size=64" in caplog.text
    caplog.clear()
    build("data.batch_size=64")  # nothing is trained in an evaluation
    assert caplog.text == ""


def test_a_validation_is_reported_in_the_words_of_the_table(caplog):
    caplog.set_level("INFO")
    task, _ = build()
    Trainer(task, TrainerSettings(epochs=1), 0, torch.device("cpu"), None).fit()
    (line,) = (message for message in caplog.messages if "validation" in message)
    assert re.search(r"recall@10 1  median rank [\d.]+/[\d.]+ \(speech→image/image→speech\)", line)


def test_a_run_skips_bad_validation_rows_and_says_how_many(broken, tmp_path, capsys):
    arguments = [f"data.validation.manifest={broken}", "data.on_error=skip", f"run.folder={tmp_path}"]
    assert run.main(["-f", str(TINY), "trainer.epochs=1", *arguments]) == 0
    metrics = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
    assert (metrics["n"], metrics["left_out_validation"], metrics["samples_validation"]) == (2, 2, 4)
    assert "left_out_train" not in metrics
    page = (tmp_path / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "2 of 4 validation samples left out, see skipped.csv" in page
    message = capsys.readouterr().err
    assert f"2 of 4 validation samples left out: {tmp_path / 'tiny' / 'skipped.csv'}" in message
    assert "left_out_validation" not in page + message.replace("\n", "")
    assert [found[:2] for found in read_skipped(tmp_path / "tiny" / "skipped.csv")] == [
        ("validation", 0),
        ("validation", 2),
    ]


def test_skipped_rows_are_listed_as_they_are_found_and_stay_after_a_new_start(broken, tmp_path):
    override = f"data.validation.manifest={broken}"
    folder = RunFolder(tmp_path / "run")
    task, values = build(override, "data.on_error=skip", folder=folder)
    task.evaluate()
    listed = tmp_path / "run" / "skipped.csv"
    assert [found[:2] for found in read_skipped(listed)] == [("validation", 0), ("validation", 2)]
    listed.write_bytes(listed.read_bytes() + b"validation,1")  # a line that a kill has cut
    again, _ = build(override, "data.on_error=skip", folder=folder)
    again.evaluate()
    assert len(read_skipped(listed)) == 2
    mended, _ = build("data.on_error=skip", folder=folder)
    folder.prepare(values, "auto", ["run.py"])
    metrics = mended.report(folder, Context("tiny", values, ["run.py"]))
    assert len(read_skipped(listed)) == 2
    assert "left_out_validation" not in metrics  # the list keeps what was mended since, the figures do not count it


def test_no_usable_row_is_one_clear_sentence(broken):
    for row in (1, 3):
        content = json.loads(broken.read_text(encoding="utf-8"))
        (broken.parent / content["audio_base_path"] / content["data"][row]["wav"]).write_bytes(b"no sound")
    task, _ = build(f"data.validation.manifest={broken}", "data.on_error=skip")
    with pytest.raises(UserError, match=r"none of the 4 rows to evaluate on could be used; mend the files, one is"):
        task.evaluate()


def test_times_are_the_same_wherever_features_are_made():
    pooling = []
    for features in ("worker", "device"):
        task, _ = build(f"data.train.features={features}", f"data.validation.features={features}")
        pooling.append(encode_all(task.data.loaders["validation"], task.encode).pooling)
    assert pooling == [8, 8]


def test_written_captions_have_words_but_no_time_axis(tmp_path):
    text = "task.text_encoder={type: models.text_encoders.DavenetText, embedding_dim: 16}"
    task, values = build("task.speech_encoder=null", text)
    folder = RunFolder(tmp_path)
    folder.prepare(values, "auto", ["run.py"])
    task.report(folder, Context("tiny", values, ["run.py"]))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<figcaption dir="auto">lake</figcaption>' in page
    body = page.split("<body")[1].split("<script>")[0]
    assert 'class="timeline"' not in body
    assert 'type="range"' not in body
    assert "<audio" not in body


@pytest.fixture
def several(tmp_path):
    """A manifest of the four pairs, each image under its name, under another spelling and as a copy: 12 captions."""
    folder = shutil.copytree(ASSETS / "formats" / "places", tmp_path / "places")
    content = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    rows = []
    for row, entry in enumerate(content["data"]):
        shutil.copy(folder / "images" / entry["image"], folder / "images" / f"copy_{row}.jpg")
        for number, image in enumerate((entry["image"], f"./a/../{entry['image']}", f"copy_{row}.jpg")):
            wav = content["data"][(row + number) % 4]["wav"]
            rows.append(entry | {"uttid": f"{row}_{number}", "image": image, "wav": wav})
    (folder / "several.json").write_text(json.dumps(content | {"data": rows}), encoding="utf-8")
    return folder / "several.json"


def test_a_run_takes_captions_of_the_same_image_for_right(several, tmp_path, capsys):
    arguments = [f"data.{split}.manifest={several}" for split in ("train", "validation")]
    arguments += ["data.batch_size=12", "trainer.epochs=1", f"run.folder={tmp_path}"]
    assert run.main(["-f", str(TINY), *arguments]) == 0
    folder = tmp_path / "tiny"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["n"], metrics["n_captions"]) == (4, 12)
    assert metrics["I_r5"] == metrics["chance_I_r5"] == 1
    assert metrics["chance_A_r1"] == metrics["chance_I_r1"] == 0.25
    rows = json.loads((folder / "queries.json").read_text())
    assert len(rows) == 4 + 12
    for row in rows:
        assert row["query_name"].split("_")[0] == row["match_name"].split("_")[0] != row["wrong_name"].split("_")[0]
        better, worse = ("match", "wrong") if row["rank"] == 1 else ("wrong", "match")
        assert row[f"{better}_score"] >= row[f"{worse}_score"]
    assert json.loads((folder / "retrieval.json").read_text())["n_captions"] == 12
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>tiny: retrieval among 12 validation captions of 4 images</h1>" in page
    assert "Among 12 captions of 4 images." in page
    assert set(re.findall(r"rank \d+ of (\d+)</strong> asked with the (\w+)", page)) == {
        ("4", "caption"),
        ("12", "image"),
    }
    said = (folder / "log.txt").read_text(encoding="utf-8")
    assert "12 validation captions of 4 images: all captions of the same image are right answers to it" in said
    assert "task.same_image=left_out leaves them out" in said
    assert "12 captions of 4 images\n" in capsys.readouterr().err


def test_copies_of_an_image_are_left_out_too(several):
    task, _ = build("data.batch_size=12", "task.same_image=left_out", f"data.train.manifest={several}")
    batch = next(iter(task.batches(0, 0)))
    image = batch["index"] // 3
    masked = task.objective.parts.without_same_image(torch.zeros(12, 12), batch)
    assert torch.equal(masked < 0, (image[:, None] == image) & ~torch.eye(12, dtype=torch.bool))


def test_one_image_for_all_captions_stops_the_training(several, tmp_path):
    content = json.loads(several.read_text(encoding="utf-8"))
    content["data"] = content["data"][:3]
    several.write_text(json.dumps(content), encoding="utf-8")
    task, _ = build("data.batch_size=3", "task.same_image=left_out", f"data.train.manifest={several}")
    loop = Trainer(task, TrainerSettings(epochs=2), 0, torch.device("cpu"), None)
    with pytest.raises(UserError, match="the gradient was 0 at each of the 1 steps so far, so nothing is learned"):
        loop.fit()
