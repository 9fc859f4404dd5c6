"""The speech-image task: text instead of speech, features on the device, impossible combinations, losses that fall."""

import json

import pytest
import torch

import config
import losses
from engine.context import Context
from engine.errors import UserError
from engine.optimization import Length
from engine.run_folder import RunFolder
from engine.settings import TrainerSettings
from main import Factory
from tasks.similarity import leave_out_same_picture
from tests.conftest import ASSETS
from trainer import Trainer

TINY = ASSETS / "configs" / "tiny.yaml"


def build(*overrides):
    values = config.check(config.load(TINY, list(overrides)))

    def factory(name):
        node = dict(values[name])
        return Factory(config.resolve_type(node.pop("type")), node, name)

    torch.manual_seed(0)
    data = factory("data")(seed=0, rank=0, world_size=1, pin_memory=False)
    return factory("task")(data=data, device=torch.device("cpu"), seed=0, length=Length(40)), values


def fit(task, epochs):
    loop = Trainer(task, TrainerSettings(epochs=epochs), 0, torch.device("cpu"), None)
    values = []
    for epoch in range(epochs):
        values += [float(loop.train_step(batch)["loss"]) for batch in task.batches(epoch, 0)]
    return values


def test_the_loss_falls():
    task, _ = build("data.batch_size=4", "task.optimization.schedule=null", "data.train.image.random_crop=false")
    values = fit(task, 30)
    assert sum(values[-5:]) < 0.2 * sum(values[:5]), values


def test_text_instead_of_speech():
    text = "task.text_encoder={type: models.text_encoders.DavenetText, embedding_dim: 16}"
    task, _ = build("task.speech_encoder=null", text, "data.batch_size=4", "task.optimization.schedule=null")
    values = fit(task, 20)
    assert values[-1] < values[0]
    assert task.evaluate()["n"] == 4


def test_features_on_the_device_are_those_of_the_workers():
    here, _ = build()
    there, _ = build("data.train.features=device", "data.validation.features=device")
    dataset = here.data.loaders["validation"].dataset
    batches = [next(iter(task.data.loaders["validation"].batches(0))) for task in (here, there)]
    a, b = here._mel(batches[0]), there._mel(batches[1])
    assert torch.equal(a[1], b[1])
    for row, frames in enumerate(a[1].tolist()):
        torch.testing.assert_close(a[0][row, :, :frames], b[0][row, :, :frames], rtol=1e-4, atol=2e-3)
    assert len(dataset) == 4


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
    assert metrics["n"] == 4
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "a small red house near a lake" in page
    rows = (tmp_path / "queries.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * 4
    assert "train,2,row 2: broken" in (tmp_path / "skipped.csv").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "retrieval.json").read_text())["n"] == 4


def test_other_captions_of_the_same_picture_are_no_impostors():
    scores = torch.tensor([[1.0, 5.0, 0.5], [5.0, 1.0, 0.2], [0.1, 0.3, 1.0]], requires_grad=True)
    masked = leave_out_same_picture(scores, torch.tensor([7, 7, 8]))
    assert losses.margin_triplet(masked, margin=0.4).item() == pytest.approx(0)
    assert losses.margin_triplet(scores, margin=0.4).item() > 1
    plain, _ = build("data.batch_size=4")
    other, _ = build("data.batch_size=4", "task.same_picture=left_out")
    assert fit(plain, 1) == fit(other, 1)  # four pictures with one caption each
