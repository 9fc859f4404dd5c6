"""Tiny trainings through the command line, which several files of tests look at."""

from pathlib import Path

import pytest

import run
from tests.conftest import ASSETS

CONFIGS = ASSETS / "configs"


@pytest.fixture(scope="session")
def class_runs(tmp_path_factory) -> Path:
    """A folder with ``data`` (renders of three shapes, 16 pixels), and the runs ``generator`` and ``classifier``."""
    folder = tmp_path_factory.mktemp("class_runs")
    places = [f"prepare.images.folder={folder}/data", f"data.folder={folder}/data", f"run.folder={folder}"]
    for name, file in (("generator", "r3gan_tiny.yaml"), ("classifier", "classifier_tiny.yaml")):
        assert run.main(["-f", str(CONFIGS / file), *places, f"run.name={name}"]) == 0
    return folder
