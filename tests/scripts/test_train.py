"""scripts/train.sh: what of the original's words becomes which key of a config, and what is refused."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/usr/bin/env bash
printf '%s\\n' "$@"
"""
START = ["run.py", "-f", "resdavenet_vq/base.yaml"]


@pytest.fixture
def project(tmp_path):
    """A project whose Python only repeats what it is told."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "train.sh", tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def train(project, *words, **more):
    script = project / "scripts" / "train.sh"
    return subprocess.run(["bash", script, *words], capture_output=True, text=True, env=os.environ | more, cwd="/")


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["", "trainer.epochs=3"], ["trainer.epochs=3"]),
        ([], []),
        (["runs/a"], ["init_from.path=runs/a"]),
        (["--seed-dir ./exps/A"], ["init_from.path=./exps/A"]),
        (["--resume True --seed_dir ./exps/A"], ["init_from.path=./exps/A"]),
        (["--seed-dir=./exps/A --seed-epoch -1"], ["init_from.path=./exps/A"]),
        (["runs/lr=1/seed_1 trainer.epochs=2"], ["trainer.epochs=2", "init_from.path=runs/lr=1/seed_1"]),
        (
            ["--seed-dir exps/A --seed-epoch 30 seed=2", "--dry-run"],
            ["seed=2", "init_from.path=exps/A/models/audio_model.e30.pth", "--dry-run"],
        ),
    ],
)
def test_words_become_settings(project, words, settings):
    done = train(project, "01100", "RDVQ_01100", *words)
    assert done.returncode == 0, done.stderr
    own = ["task.speech_encoder.turn_on='01100'", "run.name=resdavenet_vq/RDVQ_01100"]
    assert done.stdout.splitlines() == [*START, *own, *settings]


def test_another_config(project):
    lines = train(project, "01000", "small", "", CONFIG="resdavenet_vq/world_cpu.yaml").stdout.splitlines()
    assert lines[2:4] == ["resdavenet_vq/world_cpu.yaml", "task.speech_encoder.turn_on='01000'"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["01100"], "error: found 1 arguments, expected a turn-on code, a name and a seed"),
        (["01100", "", ""], "error: found an empty name"),
        (["01100", "a", "--lr 3"], "error: found --lr, expected --seed-dir, --seed-epoch or key=value"),
        (["01100", "a", "runs/my run"], "error: found the seeds runs/my and run, expected one"),
        (["01100", "a", "--seed-dir"], "error: found --seed-dir without a value"),
        (["01100", "a", "--seed-epoch 3"], "error: found --seed-epoch 3, expected a number and --seed-dir with it"),
        (["01100", "a", "--seed-dir b --seed-epoch x"], "error: found --seed-epoch x, expected a number"),
    ],
)
def test_what_cannot_be_is_one_sentence(project, words, told):
    done = train(project, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1


def test_a_wrong_code_is_told_by_the_config():
    done = train(ROOT, "0110", "x", "")
    assert done.returncode == 2
    assert "turn_on [command line]: found '0110' (str), expected five digits of 0 and 1" in done.stderr
    assert "Traceback" not in done.stderr
