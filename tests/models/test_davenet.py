import pytest
import torch

from models.davenet import DavenetSpeech
from tests.models.networks import check_gradients, mel


@pytest.mark.parametrize(("size", "pooled", "lengths"), [("small", 32, [32, 12]), ("large", 4, [4, 1])])
def test_speech(size, pooled, lengths):
    torch.manual_seed(0)
    network = DavenetSpeech(size, embedding_dim=24)
    maps = network(mel(2, 256), torch.tensor([256, 100]))
    assert maps.features.shape == (2, 24, pooled)
    assert maps.features.min() == 0  # after a ReLU
    assert maps.nframes.tolist() == lengths
    check_gradients(network, maps.features)


def test_frozen_batch_norm_does_not_see_its_batch():
    torch.manual_seed(0)
    network = DavenetSpeech("small", 16, freeze_batch_norm=True).train()
    batch = mel(2, 64)
    assert torch.allclose(network(batch).features[:1], network(batch[:1]).features, atol=1e-5)
    assert network.input_norm.num_batches_tracked == 0
    assert DavenetSpeech("small", 16).train().input_norm.training


def test_unknown_size():
    with pytest.raises(ValueError, match="small and large, got 'medium'"):
        DavenetSpeech("medium")
