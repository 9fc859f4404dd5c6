import pytest
import torch

from models.resdavenet import ResDavenet
from tests.models.networks import check_gradients, mel

WIDTHS, DEPTHS = (8, 8, 12, 16, 24), (1, 2, 1, 3)


def test_speech():
    torch.manual_seed(0)
    network = ResDavenet(WIDTHS, DEPTHS, kernel=5)
    maps = network(mel(2, 100), torch.tensor([100, 50]))
    assert maps.features.shape == (2, 24, 7)
    assert maps.nframes.tolist() == [7, 3]  # 100 / 7 rounds to 14
    assert network.embedding_dim == 24
    check_gradients(network, maps.features)


def test_every_stage():
    torch.manual_seed(0)
    network = ResDavenet(WIDTHS, DEPTHS, kernel=5).eval()
    spectrogram, nframes = mel(2, 96), torch.tensor([96, 33])
    outputs = list(network.stage_outputs(spectrogram))
    assert [tuple(x.shape[1:]) for x in outputs] == [(8, 96), (8, 48), (12, 24), (16, 12), (24, 6)]
    maps = network(spectrogram, nframes)
    assert torch.equal(maps.features, outputs[-1])
    assert maps.nframes.tolist() == [6, 2]


def test_frozen_batch_norm_does_not_see_its_batch():
    torch.manual_seed(0)
    network = ResDavenet(WIDTHS, DEPTHS, kernel=5, freeze_batch_norm=True).train()
    batch = mel(2, 64)
    assert torch.allclose(network(batch).features[:1], network(batch[:1]).features, atol=1e-4)
    free = ResDavenet(WIDTHS, DEPTHS, kernel=5).train()
    assert not torch.allclose(free(batch).features[:1], free(batch[:1]).features, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_widths": (8, 8, 8, 8)}, r"five positive layer_widths .* got \(8, 8, 8, 8\)"),
        ({"layer_depths": (2, 2, 0, 2)}, r"four positive layer_depths, got .*\(2, 2, 0, 2\)"),
        ({"kernel": 8}, "must be odd so that the shortcut's length fits, got 8"),
    ],
)
def test_impossible_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResDavenet(**arguments)
