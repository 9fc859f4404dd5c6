"""A small model."""

import pytest

from tests.tasks.lattegan.small_models import small_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("small"))
