"""Starting from trained weights."""

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from engine import checkpoint
from engine.init_from import InitFrom, load_run, read_checkpoint, start_from
from tests.steps import FakeTask


def save(path, module, averages=None):
    checkpoint.write(path, {"step": 3, "modules": {"net": module.state_dict()}, "averages": averages or {}})


def test_averaged_weights_win(tmp_path):
    net, target = nn.Linear(2, 2), FakeTask({"net": nn.Linear(2, 2)})
    averaged = {"n_averaged": torch.tensor(1), "module.weight": torch.ones(2, 2), "module.bias": torch.zeros(2)}
    save(tmp_path / "checkpoints" / "best.pt", net, {"net": averaged})
    start_from(InitFrom(tmp_path), target)
    assert torch.equal(target.modules["net"].weight, torch.ones(2, 2))


def test_misfits_are_listed_and_refused_unless_allowed(tmp_path):
    source = nn.ModuleDict({"a": nn.Linear(2, 2), "old": nn.Linear(1, 1)})
    target = nn.ModuleDict({"a": nn.Linear(2, 3), "new": nn.Linear(1, 1)})
    save(tmp_path / "c.pt", source)
    task = FakeTask({"net": target})
    with pytest.raises(
        UserError, match=r"(?s)does not fit this model \(6 entries\).*new\.weight: missing.*allow_partial"
    ):
        load_run(tmp_path / "c.pt", task)
    source["a"] = nn.Linear(2, 3)
    save(tmp_path / "c.pt", source)
    start_from(InitFrom(tmp_path / "c.pt", allow_partial=True), task)
    assert torch.equal(target["a"].weight, source["a"].weight)


def test_missing_runs_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        read_checkpoint(tmp_path)
    with pytest.raises(UserError, match="there is no checkpoint at"):
        read_checkpoint(tmp_path / "nothing.pt")
    with pytest.raises(UserError, match=r"there is no export .*nothing.json; write it with its task's export config"):
        read_checkpoint(tmp_path / "nothing.json")


def test_a_damaged_best_checkpoint_is_passed_over(tmp_path, caplog):
    for name in ("best", "last"):
        save(tmp_path / "checkpoints" / f"{name}.pt", nn.Linear(2, 2))
    best = tmp_path / "checkpoints" / "best.pt"
    best.write_bytes(best.read_bytes()[:100])
    assert read_checkpoint(tmp_path)[0].name == "last.pt"
    assert "truncated" in caplog.text
    (tmp_path / "checkpoints" / "last.pt").unlink()
    with pytest.raises(UserError, match="no checkpoint can be read"):
        read_checkpoint(tmp_path)


def test_what_is_no_weight_stays_with_the_run_that_found_it(tmp_path):
    counter = nn.Module()
    counter.register_buffer("count", torch.tensor(5))
    save(tmp_path / "c.pt", counter)
    own = nn.Module()
    own.register_buffer("count", torch.tensor(0))
    task = FakeTask({"net": own, "found": own})  # such a module need not be in the checkpoint either
    start_from(InitFrom(tmp_path / "c.pt"), task)
    assert int(own.count) == 0
    load_run(tmp_path / "c.pt", FakeTask({"net": own}))
    assert int(own.count) == 5


def test_only_the_modules_that_are_named_get_weights(tmp_path):
    source = {name: nn.Linear(2, 2) for name in ("image", "speech")}
    state = {"step": 3, "modules": {name: module.state_dict() for name, module in source.items()}, "averages": {}}
    checkpoint.write(tmp_path / "c.pt", state)
    task = FakeTask({"image": nn.Linear(2, 2), "speech": nn.Linear(2, 3), "rate": nn.ReLU()})
    kept = task.modules["speech"].weight.clone()
    start_from(InitFrom(tmp_path / "c.pt", modules=["image"]), task)
    assert torch.equal(task.modules["image"].weight, source["image"].weight)
    assert torch.equal(task.modules["speech"].weight, kept)
    for unknown in ("text", "rate"):
        with pytest.raises(UserError, match=f"names '{unknown}'; the modules of this task are image, speech"):
            start_from(InitFrom(tmp_path / "c.pt", modules=["image", unknown]), task)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_other_programs_are_no_damaged_checkpoints(tmp_path, zipped):
    path = tmp_path / "model_best_x.pth.tar"
    content = {"model_state_dict": {"a": torch.ones(2)}, "best_eval": np.float64(0.5)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    task = FakeTask({"net": nn.Linear(1, 2)})
    with pytest.raises(
        checkpoint.ForeignCheckpointError, match=r"is no checkpoint of this project.*init_from of a speech"
    ):
        start_from(InitFrom(path), task)
    asked = []

    def read_published(given):
        asked.append(given)
        return {"net": {"weight": torch.ones(2, 1), "bias": torch.zeros(2)}}

    task.read_published = read_published
    start_from(InitFrom(path), task)
    assert asked == [path]
    assert torch.equal(task.modules["net"].weight, torch.ones(2, 1))
    path.write_bytes(b"no torch file")
    with pytest.raises(UserError, match=r"\(13 bytes\) is truncated or no checkpoint"):
        start_from(InitFrom(path), task)


class Switched(nn.Module):
    """A network with parts that it may be built with or without."""

    switchable = ("parts",)

    def __init__(self, parts):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.parts = nn.ModuleDict({name: nn.Linear(size, 1) for name, size in parts.items()})


def test_a_training_begins_with_other_parts_than_its_weights_have(tmp_path, caplog):
    caplog.set_level("INFO")
    path, source = tmp_path / "c.pt", Switched({"a": 2, "b": 2})
    save(path, source)
    task = FakeTask({"net": Switched({"b": 2, "c": 2, "d": 3})})
    own, begun = task.modules["net"], task.modules["net"].parts["c"].weight.clone()
    start_from(InitFrom(path), task)
    assert torch.equal(own.body.weight, source.body.weight)
    assert torch.equal(own.parts["b"].weight, source.parts["b"].weight)
    assert torch.equal(own.parts["c"].weight, begun)
    assert f"net: not in {path} and so begun anew: parts.c, parts.d" in caplog.text
    assert f"net: in {path} and not in this model: parts.a" in caplog.text
    with pytest.raises(UserError, match=r"(?s)\(3 entries\).*parts\.c: missing in the.*parts\.a: unknown to this"):
        start_from(InitFrom(path), task, training=False)
    with pytest.raises(UserError, match=r"\(3 entries\)"):
        load_run(path, task)
    with pytest.raises(
        UserError, match=r"\(1 entries\).*\n  net.parts.b.weight: shape \(1, 2\) in the checkpoint, \(1, 5"
    ):
        start_from(InitFrom(path), FakeTask({"net": Switched({"b": 5})}))


def test_what_is_skipped_is_listed_and_may_not_be_all(tmp_path, caplog):
    path, source = tmp_path / "c.pt", nn.ModuleList([nn.Linear(2, 2), nn.Linear(9, 9)])
    save(path, source)
    target = nn.ModuleList([nn.Linear(2, 2), nn.Linear(3, 3)])
    start_from(InitFrom(path, allow_partial=True), FakeTask({"net": target}))
    assert torch.equal(target[0].weight, source[0].weight)
    message = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert message == [
        f"2 entries are not loaded from {path}, 2 are:\n"
        "  net.1.weight: shape (9, 9) in the checkpoint, (3, 3) in this model\n"
        "  net.1.bias: shape (9,) in the checkpoint, (3,) in this model"
    ]
    other = FakeTask({"net": nn.ModuleList([nn.Linear(4, 4), nn.Linear(5, 5)])})
    with pytest.raises(UserError, match=r"holds nothing that fits this model \(net\.0\.weight: shape \(2, 2\) in"):
        start_from(InitFrom(path, allow_partial=True), other)
