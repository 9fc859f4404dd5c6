"""Fixtures that every test may use; GPUs are hidden, so that the suite means the same on every machine.

``DRAWL_TEST_GPUS=1`` shows them to the tests and to the programs that they start.
"""

import logging
import os
from pathlib import Path

if not os.environ.get("DRAWL_TEST_GPUS"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("suite", deadline=None)  # this machine may do other things too
settings.load_profile("suite")

ASSETS = Path(__file__).parent / "assets"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape half characters that tests log: a worker of pytest-xdist cannot send them and would end all tests."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def logging_of_its_own():
    """Take back what a test that calls run.py's functions does to the root logger: its console is closed after it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def few_threads():
    """Keep torch from fighting over the two cores of a CI machine."""
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of tests/assets/README.md."""
    return ASSETS


@pytest.fixture
def published(assets: Path) -> dict[str, torch.Tensor]:
    """Inputs and outputs of the originals' similarities, losses and recalls, by name."""
    with np.load(assets / "parity" / "losses_speech.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
