import pytest

from gan.progan.generator import ProganError
from gan.progan.schedule import Growth, GrowthStep, Phase


def test_stages_by_hand():
    growth = Growth([Phase(8, 10, 4), Phase(16, 8, 2, fade_images=4)])
    stages = [growth.at(step) for step in range(7)]
    assert stages[:3] == [
        GrowthStep(1, 1.0, 4, 0),
        GrowthStep(1, 1.0, 4, 4),
        GrowthStep(1, 1.0, 4, 8),
    ]  # 10 are rounded up to 12
    assert stages[3:6] == [GrowthStep(2, 0.5, 2, 12), GrowthStep(2, 1.0, 2, 14), GrowthStep(2, 1.0, 2, 16)]
    assert growth.at(1000) == GrowthStep(2, 1.0, 2, 12 + 2 * 997)  # the last phase goes on


@pytest.mark.parametrize("resolutions", [[], [8, 32], [16, 8], [8, 8]])
def test_resolutions_must_double(resolutions):
    with pytest.raises(ProganError, match="expected each twice the one before"):
        Growth([Phase(resolution, 10, 4) for resolution in resolutions])


@pytest.mark.parametrize("resolution", [0, 2, 12, 10])
def test_a_resolution_that_is_none(resolution):
    with pytest.raises(ProganError, match=r"expected 4, 8, 16"):
        Phase(resolution, 10, 4)


def test_counts_must_make_sense():
    with pytest.raises(ProganError, match="batch_size=0"):
        Phase(8, 10, 0)
