"""The Dockerfile's steps without an engine: what the image holds is enough to serve."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tasks.attngan.random_models import write_random_export

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "scripts" / "docker_steps.sh"
PYTHON = """#!/usr/bin/env bash
echo "$*"
"""


def steps(*arguments, **environment):
    return subprocess.run(
        ["bash", str(STEPS), *arguments], capture_output=True, text=True, env=os.environ | environment, cwd=ROOT
    )


def test_what_the_image_would_hold_serves_captions(tmp_path):
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("the project is not in git, whose list of files the script copies")
    export = write_random_export(tmp_path / "model.json")
    done = steps("try", "cpu", f"model.run={export}", DRAWL_INSTALLED=sys.executable, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^healthy: http://127\.0\.0\.1:\d+$", done.stdout, re.M)
    assert "answered: ['a', 'red', 'cube'], an image of" in done.stdout


def test_a_server_that_does_not_start_is_an_error_with_its_reason(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/usr/bin/env bash\necho 'error: no model' >&2\nexit 2\n")
    python.chmod(0o755)
    done = steps("try", "cpu", DRAWL_INSTALLED=str(python))
    assert done.returncode == 1
    assert "error: no model\nerror: the server did not start" in done.stderr


@pytest.mark.parametrize(("device", "index"), [("cpu", True), ("gpu", False)])
def test_each_device_gets_its_torch(tmp_path, device, index):
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    done = steps("install", device, PYTHON=str(python))
    assert done.returncode == 0
    assert done.stdout.startswith("-m pip install")
    assert done.stdout.strip().endswith("-r requirements.txt")
    assert ("--extra-index-url https://download.pytorch.org/whl/cpu" in done.stdout) == index


def test_other_devices_and_steps_are_refused():
    assert "error: found 'tpu', expected cpu or gpu" in steps("install", "tpu").stderr
    assert steps("dance").returncode == 2


def test_the_dockerfile_calls_the_same_script():
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"docker_steps\.sh\"?,? \"?(\w+)", text.replace('", "', '" "')) == [
        "try", "install", "healthy", "serve",
    ]  # fmt: skip
