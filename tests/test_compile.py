"""``trainer.compile``: the same training, and checkpoints that know nothing of it."""

import logging
import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from common.errors import UserError
from engine import checkpoint
from engine.settings import EmaSettings
from tests.engine.toy import ToyTask, weights
from tests.test_trainer import make

with_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")


@pytest.fixture(autouse=True)
def nothing_compiled(caplog):
    caplog.set_level(logging.INFO)  # the compiler tells thousands of lines below that
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def quiet(seed=0):
    """A task without what differs rightly: compiled dropout draws other numbers, Adam makes steps of rounding."""
    return ToyTask(seed=seed, dropout=0.0, optimizer=torch.optim.SGD)


def trained(folder, **settings):
    loop = make(folder, epochs=1, task=quiet(), ema=EmaSettings(0.9), **settings)
    loop.fit()
    return loop


@with_compiler
def test_a_compiled_training_learns_the_same(tmp_path):
    plain = trained(tmp_path / "plain")
    assert not counters["stats"]
    compiled = trained(tmp_path / "compiled", compile=True)
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]
    assert compiled.at.step == plain.at.step == 8
    torch.testing.assert_close(weights(compiled.task), weights(plain.task), rtol=1e-4, atol=1e-6)
    assert compiled.at.best == pytest.approx(plain.at.best, rel=1e-4)


@with_compiler
def test_checkpoints_of_compiled_and_plain_runs_are_interchangeable(tmp_path):
    compiled = trained(tmp_path / "compiled", compile=True)
    plain = trained(tmp_path / "plain")
    files = [checkpoint.read(loop.folder.last) for loop in (compiled, plain)]
    for kind in ("modules", "averages"):
        names = [{(part, name) for part, state in file[kind].items() for name in state} for file in files]
        assert names[0] == names[1]
        assert ("net", "0.weight" if kind == "modules" else "module.0.weight") in names[0]
    for source, compile_now in (("compiled", False), ("plain", True)):
        again = make(tmp_path / source, epochs=2, task=quiet(5), ema=EmaSettings(0.9), compile=compile_now)
        assert again.saver.resume()
        assert torch.equal(weights(again.task), weights({"compiled": compiled, "plain": plain}[source].task))
        again.fit()
        assert again.at.step == 16


def test_a_machine_without_a_compiler_is_reported_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nowhere/g++",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    loop = make(tmp_path / "run", task=quiet(), compile=True)
    with pytest.raises(UserError, match=r"torch.compile failed \(.*\); set trainer.compile: false"):
        loop.fit()
