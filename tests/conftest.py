"""Fixtures that every test may use."""

from pathlib import Path

import pytest
import torch

ASSETS = Path(__file__).parent / "assets"


@pytest.fixture(autouse=True)
def few_threads():
    """Keep torch from fighting over the two cores of a CI machine."""
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture
def assets() -> Path:
    return ASSETS
