"""torchrun's elastic restarts: a rank is really killed, torchrun starts the group again, and the run goes on."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine import checkpoint
from tests.test_run import ROOT, TINY, leaves, many_pairs

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the ranks in Linux's /proc")


def torchrun(tmp_path, name, *arguments):
    """Start two ranks that may be started again once; their words go to a file."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    config = [str(ROOT / "run.py"), "-f", TINY, f"run.folder={tmp_path}", f"run.name={name}", *arguments]
    with (tmp_path / f"{name}.log").open("w") as log:
        return subprocess.Popen([*launcher, *config], env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=log, stdout=log)


def ranks(process):
    """Return the process ids of torchrun's ranks by rank."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    found = {}
    for child in (int(word) for path in children for word in path.read_text().split()):
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {int(item.removeprefix(b"RANK=")): child for item in environment if item.startswith(b"RANK=")}
    return found


def end(process, log):
    """Wait for a good end and return what was said."""
    assert process.wait(timeout=600) == 0, log.read_text()[-3000:]
    return log.read_text()


def test_a_killed_rank_is_started_again_and_the_weights_are_the_same(tmp_path):
    arguments = [many_pairs(tmp_path / "pairs.json", 8), "data.batch_size=4", "trainer.epochs=2"]
    arguments += ["trainer.checkpoint.every_steps=1", "run.resume=overwrite"]  # which a restart must not obey
    end(torchrun(tmp_path, "whole", *arguments), tmp_path / "whole.log")
    process = torchrun(tmp_path, "killed", *arguments)
    last = tmp_path / "killed" / "checkpoints" / "last.pt"
    try:
        deadline = time.monotonic() + 300
        while not (last.exists() and checkpoint.read(last)["step"] >= 10):  # 8 steps an epoch
            assert process.poll() is None, (tmp_path / "killed.log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(ranks(process)[1], 9)
        said = end(process, tmp_path / "killed.log")
    finally:
        for number in [*ranks(process).values(), process.pid] if process.poll() is None else []:
            os.kill(number, 9)
    assert "(exitcode: -9) local_rank: 1" in said
    assert f"resumed from {last}: step " in said
    whole, parts = (checkpoint.read(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "killed"))
    for kind in ("step", "epoch", "batch", "best", "modules", "optimizers", "schedulers", "random"):
        expected, found = dict(leaves(whole[kind], kind)), dict(leaves(parts[kind], kind))
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            same = torch.equal(value, found[name]) if isinstance(value, torch.Tensor) else value == found[name]
            assert same, name
