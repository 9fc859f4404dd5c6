"""scripts/setup.sh with a pretended pip: what it says before and while it installs, and after a failure."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[2] / "scripts" / "setup.sh"
PYTHON = """#!/usr/bin/env bash
[ "$1" = -m ] || exit 0
[ -t 1 ] && echo "bar of pip for: $*"
if [[ "$*" == *requirements-*.txt ]]; then [[ "$*" != *requirements-${FAILING:-none}.txt ]]; exit; fi
echo "Collecting torch==2.11.0 (from -r requirements.txt (line 1))"
echo "  Downloading torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl.metadata (29 kB)"
echo "  Downloading torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl (530.6 MB)"
echo "  Using cached rich-15.0.0-py3-none-any.whl (243 kB)"
echo "Installing collected packages: torch, rich"
echo "ERROR: something of pip" >&2
exit ${PIP_EXIT:-0}
"""
EXTRAS = {  # what is said of each, and what does not work without it
    "abx": ("ABX scoring", "resdavenet_vq/abx.yaml"),
    "metrics": ("comparing images by an ImageNet network", "attngan/score.yaml"),
    "onnx": ("writing networks as ONNX", "attngan/export_onnx.yaml"),
    "browser": ("testing the pages of servers in a browser", "tests/tasks/attngan/serve"),
    "language": ("words and agreement of annotations", "visual_vocab/annotate.yaml"),
}


@pytest.fixture
def project(tmp_path):
    """A project of two requirements, whose .venv has a Python that only pretends."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SETUP, tmp_path / "scripts")
    (tmp_path / "requirements.txt").write_text("# two\ntorch==2.11.0\nrich==15.0.0\n")
    for extra in EXTRAS:
        (tmp_path / f"requirements-{extra}.txt").write_text("package==0.9.0\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def set_up(project, **more):
    script = f"set -euo pipefail; source {project}/scripts/setup.sh; echo ready"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ | more)


def test_a_log_has_a_line_for_each_package_after_what_is_to_come(project):
    lines = set_up(project).stdout.splitlines()
    assert lines[0].startswith("installing 2 packages and what they need into .venv, torch among them")
    assert "3 GB to download" in lines[1]
    assert lines[3:] == [
        "  Downloading torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl (530.6 MB)",
        "  Using cached rich-15.0.0-py3-none-any.whl (243 kB)",
        "  unpacking all of them (a minute or two, torch is large)",
        *(f"installing what {purpose} needs" for purpose, _ in EXTRAS.values()),
        "ready",
    ]


def test_nothing_is_installed_twice_and_a_change_is_called_one(project):
    set_up(project)
    assert set_up(project).stdout == "ready\n"
    (project / "requirements.txt").write_text("torch==2.11.1\n")
    assert set_up(project).stdout.startswith("installing into .venv what is new in requirements.txt\n  Downloading")


def test_a_failure_of_pip_is_reported_and_tried_again(project):
    failed = set_up(project, PIP_EXIT="1")
    assert failed.returncode == 2
    assert "ready" not in failed.stdout
    assert failed.stderr.splitlines()[0] == "ERROR: something of pip"
    assert "could not be installed; see pip's message above" in failed.stderr
    assert set_up(project).returncode == 0


def test_every_extra_is_installed():
    assert {path.name for path in SETUP.parents[1].glob("requirements-*.txt")} == {
        f"requirements-{extra}.txt" for extra in EXTRAS
    }


@pytest.mark.parametrize("extra", EXTRAS)
def test_without_the_packages_of_an_extra_the_rest_goes_on(project, extra):
    done = set_up(project, FAILING=extra)
    assert done.returncode == 0
    assert done.stdout.endswith("ready\n")
    assert f"warning: the packages of requirements-{extra}.txt could not be installed" in done.stderr
    assert f"({EXTRAS[extra][1]}) will not work here" in done.stderr
    assert set_up(project).stdout == "ready\n"


def test_pip_has_the_terminal_to_itself(project):
    ours, its = pty.openpty()
    script = f"set -euo pipefail; source {project}/scripts/setup.sh"
    done = subprocess.run(["bash", "-c", script], stdout=its, stderr=subprocess.PIPE)
    shown = os.read(ours, 10000).decode()
    os.close(its)
    os.close(ours)
    assert done.returncode == 0
    assert "bar of pip for: -m pip install" in shown
    assert "--quiet" not in shown
