"""Modules that must not be imported before the first answer of the command line: they take seconds."""

import subprocess
import sys

import pytest

import config
import run

PROGRAM = """
import runpy, sys
sys.argv = ["run.py", *sys.argv[1:]]
try:
    runpy.run_path("run.py", run_name="__main__")
except SystemExit as end:
    assert not end.code
print("imported:", *(name for name in {heavy} if name in sys.modules))
"""
COMPILER = ("torch._dynamo", "sympy")


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ("torch", "numpy", "pydantic", "yaml")),
        (["--list"], ("torch", "numpy")),
        (["-f", "quickstart.yaml", "--print-config"], (*COMPILER, "torchvision", "torchaudio", "scipy", "tensorboard")),
        (["-f", "words_by_drawing/train_clusters.yaml", "--print-config"], (*COMPILER, "torchvision", "scipy")),
        (["-f", "resdavenet_vq/world_cpu_01100.yaml", "--print-config"], (*COMPILER, "torchvision", "scipy")),
        (["-f", "attngan/world_attngan.yaml", "--print-config"], (*COMPILER, "torchvision", "scipy")),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_an_answer_does_not_import(arguments, heavy):
    command = [sys.executable, "-c", PROGRAM.format(heavy=heavy), *arguments]
    done = subprocess.run(command, cwd=config.PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported:"


def test_a_word_chooses_among_the_configs(capsys):
    assert run.main(["--list", "TuxPaint"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown
    assert all("tuxpaint" in line.lower() for line in shown)
    assert run.main(["--list", "no such word"]) == 2
    assert "no config holds 'no such word'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tuxpaint", "config_files/tuxpaint/"])
def test_a_folder_of_configs_is_answered_with_what_is_in_it(name):
    with pytest.raises(config.ConfigError, match=r"folder of configs; give one of them: .*tuxpaint/train.yaml"):
        config.find(name)
